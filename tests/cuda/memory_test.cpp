// SPDX-License-Identifier: Apache-2.0
// Owners of device memory.
#include "kernels/cuda/memory.h"

#include <gtest/gtest.h>

#include "kernels/cuda/scratch.h"

namespace rwkv::test {
namespace {

using cuda::check;
using cuda::Scratch;

TEST(CudaMemory, SizesAreNamedInTheUnitThatFits) {
  EXPECT_EQ(cuda::size_text(600), "600 bytes");
  EXPECT_EQ(cuda::size_text(std::size_t{17} << 20), "17.0 MiB");
  EXPECT_EQ(cuda::size_text((std::size_t{54} << 30) / 10), "5.4 GiB");
}

TEST(CudaMemory, OutOfMemorySaysWhichDeviceAndHowMuchIsFreeAndHarmsNothing) {
  try {
    const cuda::Memory memory(std::size_t{1} << 50);
    FAIL() << "1 PiB was allocated";
  } catch (const OutOfMemoryError& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find("cuda:0: out of memory allocating 1048576.0 GiB (free: "), 0u) << text;
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(CudaMemory, OwnersMoveAndNothingIsAllocatedForNoBytes) {
  cuda::Memory a(100), b;
  void* const data = a.data();
  b = std::move(a);
  const cuda::Memory c(std::move(b)), none(0);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c.bytes(), 100u);
}

TEST(CudaScratch, IsTheSameMemoryUntilMoreIsWanted) {
  Scratch scratch;
  void* const first = scratch.use(nullptr, 100).data();
  EXPECT_EQ(scratch.use(nullptr, 1 << 20).data(), first);
  void* const second = scratch.use(nullptr, (1 << 20) + 1).data();
  EXPECT_NE(second, first);
  EXPECT_EQ(scratch.use(nullptr, 2 << 20).data(), second);  // grew to twice the size
  check(cudaMemset(first, 0, 1 << 20));                     // still there, for graphs that have its address
}

TEST(CudaScratch, DoesNotGrowDuringACapture) {
  Scratch scratch;
  cudaStream_t stream{};
  cudaGraph_t graph{};
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  void* const before = scratch.use(stream, 100).data();
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(scratch.use(stream, 200).data(), before);
  EXPECT_THROW(static_cast<void>(scratch.use(stream, 2 << 20)), DeviceError);
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphDestroy(graph));
  check(cudaStreamDestroy(stream));
}

}  // namespace
}  // namespace rwkv::test
