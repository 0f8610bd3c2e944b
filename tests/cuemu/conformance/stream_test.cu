// SPDX-License-Identifier: Apache-2.0
// Streams, events, copies and memory, as the runtime's documentation promises them.
#include <cstring>

#include "cuemu/conformance/objects.h"

namespace rwkv::test {
namespace {

__global__ void add(int* p, int n) { p[threadIdx.x] += n; }
__global__ void copy_from(const int* from, int* to) { to[threadIdx.x] = from[threadIdx.x]; }

TEST(Streams, WorkOfAStreamIsInOrder) {
  const Stream stream;
  const DeviceArray<int> p(32);
  check(cudaMemsetAsync(p.data(), 0, 128, stream));
  launch({1, 32, 0, stream}, add, p.data(), 5);
  launch({1, 32, 0, stream}, add, p.data(), 6);
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(p.values(), std::vector<int>(32, 11));
}

TEST(Streams, RowsAreCopiedIntoWiderRowsAndNoFurther) {
  const Stream stream(cudaStreamNonBlocking);
  const Pinned<int> rows(6);
  for (int i = 0; i < 6; ++i) rows.data()[i] = i;
  const DeviceArray<int> p(std::vector<int>(15, -1));
  const auto copy = [&](std::size_t stride, std::size_t width, std::size_t height) {
    return cudaMemcpy2DAsync(p.data() + 1, stride, rows.data(), 8, width, height, cudaMemcpyHostToDevice, stream);
  };
  check(copy(20, 8, 3));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(p.values(), (std::vector<int>{-1, 0, 1, -1, -1, -1, 2, 3, -1, -1, -1, 4, 5, -1, -1}));
  EXPECT_EQ(copy(4, 8, 3), cudaErrorInvalidPitchValue);
  static_cast<void>(cudaGetLastError());
}

TEST(Streams, EventsOrderTwoStreams) {
  const Stream first(cudaStreamNonBlocking), second(cudaStreamNonBlocking);
  const Event ready;
  const DeviceArray<int> p(32), q(32);
  check(cudaMemsetAsync(p.data(), 0, 128, first));
  launch({1, 32, 0, first}, add, p.data(), 7);
  check(cudaEventRecord(ready, first));
  check(cudaStreamWaitEvent(second, ready, 0));
  launch({1, 32, 0, second}, copy_from, p.data(), q.data());
  check(cudaStreamSynchronize(second));
  EXPECT_EQ(q.values(), std::vector<int>(32, 7));
}

TEST(Streams, AWaitIsForTheLastRecordBeforeIt) {
  const Stream first(cudaStreamNonBlocking), second(cudaStreamNonBlocking);
  const Event event, read;
  const DeviceArray<int> p(std::vector<int>(32, 1)), q(32);
  check(cudaStreamWaitEvent(second, event, 0));  // never recorded: no wait
  check(cudaEventRecord(event, first));
  check(cudaStreamWaitEvent(second, event, 0));
  launch({1, 32, 0, second}, copy_from, p.data(), q.data());
  check(cudaEventRecord(read, second));
  check(cudaStreamWaitEvent(first, read, 0));
  launch({1, 32, 0, first}, add, p.data(), 1);
  check(cudaEventRecord(event, first));  // the second stream does not wait for this: else neither could go on
  check(cudaDeviceSynchronize());
  EXPECT_EQ(q.values(), std::vector<int>(32, 1));
  EXPECT_EQ(p.values(), std::vector<int>(32, 2));
}

TEST(Streams, TheDefaultStreamWaitsForBlockingStreamsAndTheyForIt) {
  const Stream stream;
  const DeviceArray<int> p(32);
  check(cudaMemset(p.data(), 0, 128));
  launch({1, 32, 0, stream}, add, p.data(), 1);
  launch({1, 32}, add, p.data(), 2);
  launch({1, 32, 0, stream}, add, p.data(), 3);
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(p.values(), std::vector<int>(32, 6));
}

TEST(Streams, QueriesEndWithSuccess) {
  const Stream stream;
  const Event event;
  const DeviceArray<int> p(32);
  check(cudaMemset(p.data(), 0, 128));
  launch({1, 32, 0, stream}, add, p.data(), 1);
  check(cudaEventRecord(event, stream));
  cudaError_t state;
  while ((state = cudaEventQuery(event)) == cudaErrorNotReady) cudaGetLastError();
  check(state);
  while ((state = cudaStreamQuery(stream)) == cudaErrorNotReady) cudaGetLastError();
  check(state);
}

TEST(Streams, EventsMeasureTime) {
  const Event from(cudaEventDefault), to(cudaEventDefault);
  check(cudaEventRecord(from, nullptr));
  check(cudaEventRecord(to, nullptr));
  check(cudaEventSynchronize(to));
  float milliseconds = -1;
  check(cudaEventElapsedTime(&milliseconds, from, to));
  EXPECT_GE(milliseconds, 0.0f);
}

TEST(Copies, ThroughPinnedMemory) {
  const Stream stream;
  const Pinned<int> in(32), out(32);
  const DeviceArray<int> p(32);
  for (int i = 0; i < 32; ++i) in.data()[i] = i;
  check(cudaMemcpyAsync(p.data(), in.data(), 128, cudaMemcpyHostToDevice, stream));
  launch({1, 32, 0, stream}, add, p.data(), 100);
  check(cudaMemcpyAsync(out.data(), p.data(), 128, cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out.data()[i], 100 + i);
}

TEST(Copies, KernelsReadAndWritePinnedMemory) {
  const Pinned<int> host(32);
  std::memset(host.data(), 0, 128);
  launch({1, 32}, add, host.data(), 9);
  check(cudaDeviceSynchronize());
  EXPECT_EQ(host.data()[31], 9);
}

TEST(Copies, DefaultFindsTheDirection) {
  const DeviceArray<int> p(std::vector<int>(32, 8)), q(32);
  check(cudaMemcpy(q.data(), p.data(), 128, cudaMemcpyDefault));
  std::vector<int> host(32);
  check(cudaMemcpy(host.data(), q.data(), 128, cudaMemcpyDefault));
  EXPECT_EQ(host, std::vector<int>(32, 8));
}

TEST(Memory, IsAlignedTo256Bytes) {
  const DeviceArray<char> a(1), b(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % 256, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % 256, 0u);
}

TEST(Memory, MoreThanThereIsIsAnErrorThatPasses) {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  EXPECT_LE(free, total);
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 2 * total), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  const DeviceArray<int> small(std::vector<int>(32, 1));
  EXPECT_EQ(small.values()[31], 1);
}

TEST(Memory, PointersAreKnown) {
  const DeviceArray<int> device(32);
  const Pinned<int> pinned(32);
  int pageable = 0;
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, device.data() + 31));
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  check(cudaPointerGetAttributes(&attributes, pinned.data()));
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  check(cudaPointerGetAttributes(&attributes, &pageable));
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

TEST(Memory, WrongUseIsAnError) {
  EXPECT_EQ(cudaFree(reinterpret_cast<void*>(std::uintptr_t{4096})), cudaErrorInvalidValue);
  EXPECT_EQ(cudaSetDevice(1000), cudaErrorInvalidDevice);
  cudaGetLastError();
  check(cudaFree(nullptr));
}

}  // namespace
}  // namespace rwkv::test
