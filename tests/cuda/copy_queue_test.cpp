// SPDX-License-Identifier: Apache-2.0
// Copies beside the kernels: each area is read as it was sent, whichever stream is ahead.
#include "kernels/copy_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/device.h"

namespace rwkv::test {
namespace {

constexpr std::size_t kBytes = 1000, kImages = 5;

// Reading an area is a copy within the device, on the stream of its kernels. As streams may run in any order that events allow,
// nothing is waited for until the end.
TEST(CudaCopyQueue, AreasAreReadAsTheyWereSentAndNotOverwrittenBefore) {
  cuda::CudaDevice device(0, 1);
  const auto queue = device.copy_queue();
  const std::array<Buffer, 2> areas{Buffer(device, kBytes), Buffer(device, kBytes)};
  std::vector<std::byte*> images;
  std::vector<Buffer> read;
  for (std::size_t i = 0; i < kImages; ++i) {
    images.push_back(queue->host_memory(kBytes));
    std::fill_n(images.back(), kBytes, static_cast<std::byte>(i + 1));
    read.emplace_back(device, kBytes);
  }
  const auto send = [&](std::size_t i) { queue->send(static_cast<int>(i % 2), areas[i % 2].data(), images[i], kBytes); };
  send(0);
  send(1);
  for (std::size_t i = 0; i < kImages; ++i) {
    queue->receive(static_cast<int>(i % 2));
    device.copy(read[i].data(), areas[i % 2].data(), kBytes);
    if (i + 2 < kImages) send(i + 2);
  }
  cuda::check(cudaDeviceSynchronize());
  for (std::size_t i = 0; i < kImages; ++i) {
    std::vector<std::byte> found(kBytes);
    device.download(found.data(), read[i].data(), kBytes);
    EXPECT_EQ(std::ranges::count(found, static_cast<std::byte>(i + 1)), std::ptrdiff_t{kBytes}) << i;
  }
}

// A queue ends before the memory that its copies come from.
TEST(CudaCopyQueue, EndsItsCopiesWhenItIsReleased) {
  cuda::CudaDevice device(0, 1);
  const Buffer area(device, kBytes);
  {
    const auto queue = device.copy_queue();
    std::byte* const image = queue->host_memory(kBytes);
    std::fill_n(image, kBytes, std::byte{9});
    queue->send(0, area.data(), image, kBytes);
  }
  std::vector<std::byte> found(kBytes);
  device.download(found.data(), area.data(), kBytes);
  EXPECT_EQ(std::ranges::count(found, std::byte{9}), std::ptrdiff_t{kBytes});
}

TEST(CudaCopyQueue, WithoutHostMemoryItSaysSo) {
  cuda::CudaDevice device(0, 1);
  const auto queue = device.copy_queue();
  EXPECT_THROW(static_cast<void>(queue->host_memory(std::size_t{1} << 50)), OutOfMemoryError);
}

}  // namespace
}  // namespace rwkv::test
