// SPDX-License-Identifier: Apache-2.0
// Races: TSan reports them in every order of threads, right result or not; the values tell in some orders only.
#include <algorithm>
#include <cmath>

#include "cuemu/planted/planted.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::test {
namespace {

__global__ void neighbour(float* p) {
  SHARED_ARRAY(float, staged, [64]);
  staged[threadIdx.x] = static_cast<float>(threadIdx.x);  // planted: staged without barrier
  p[threadIdx.x] = staged[63 - threadIdx.x];
}

TEST(PlantedRace, NoBarrierAfterStaging) {
  const DeviceArray<float> p(64);
  const auto work = [&] { launch({1, 64}, neighbour, p.data()); };
  expect_race(work, "race_test.cu", planted("staged without barrier"));
  if (kTsan) return;
  work();
  const auto values = p.values();  // NaN: what was not yet written
  EXPECT_TRUE(std::ranges::any_of(values, [](float x) { return x != x; }));
}

// The second sum's parts are written while threads may still read the first one's. On the emulator the result is right in
// every order, as warps never run at the same time.
__device__ float largest(float x) {
  SHARED_ARRAY(float, part, [8]);
  for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(kAll, x, lanes));
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;  // planted: part written again
  __syncthreads();
  x = part[threadIdx.x % 8];
  for (int lanes = 4; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(kAll, x, lanes));
  return x;
}
__global__ void two_largest(const float* x, float* p) {
  const float first = largest(x[threadIdx.x]);
  p[threadIdx.x] = first + largest(-x[threadIdx.x]);
}

TEST(PlantedRace, NoBarrierBeforeSharedMemoryIsUsedAgain) {
  std::vector<float> x(256);
  for (int i = 0; i < 256; ++i) x[i] = static_cast<float>(i * 37 % 256);
  const DeviceArray<float> in(x), p(256);
  const auto work = [&] { launch({1, 256}, two_largest, in.data(), p.data()); };
  expect_race(work, planted("part written again"), "race_test.cu");
  if (kTsan) return;
  work();
  EXPECT_EQ(p.values(), std::vector<float>(256, 255.0f)) << "the bug shows now: the comment above is out of date";
}

__global__ void shift_in_place(float* p) {
  const float before = threadIdx.x > 0 ? p[threadIdx.x - 1] : 0.0f;
  p[threadIdx.x] = before;  // planted: neighbour overwritten
}

TEST(PlantedRace, NeighbourReadAndWrittenWithoutBarrier) {
  const DeviceArray<float> p(std::vector<float>(64, 1.0f));
  expect_race([&] { launch({1, 64}, shift_in_place, p.data()); }, "race_test.cu");
}

__global__ void lockstep(float* p) {
  SHARED_ARRAY(float, pairs, [32]);
  pairs[threadIdx.x] = 1.0f;  // planted: no syncwarp
  p[threadIdx.x] = pairs[threadIdx.x ^ 1];
}
__global__ void shuffle_is_no_barrier(float* p) {
  SHARED_ARRAY(float, pairs, [32]);
  pairs[threadIdx.x] = 1.0f;  // planted: shuffle is no barrier
  const float zero = __shfl_sync(kAll, 0.0f, 0);
  p[threadIdx.x] = pairs[threadIdx.x ^ 1] + zero;
}

TEST(PlantedRace, LanesInLockstep) {
  const DeviceArray<float> p(32);
  expect_race([&] { launch({1, 32}, lockstep, p.data()); }, "race_test.cu", planted("no syncwarp"));
  expect_race([&] { launch({1, 32}, shuffle_is_no_barrier, p.data()); }, "race_test.cu", planted("shuffle is no barrier"));
}

__global__ void ring_of_blocks(float* p) {
  p[blockIdx.x * 32 + threadIdx.x] = p[(blockIdx.x + 1) % gridDim.x * 32 + (threadIdx.x + 1) % 32];  // planted: ring
}
__global__ void count(int* p) {
  if (threadIdx.x == 0) *p = *p + 1;  // planted: count without atomic
}
__global__ void no_fence(int* p) {  // [0] parts that are written, [1 + block] parts, [8] sum
  if (threadIdx.x > 0) return;
  p[1 + blockIdx.x] = 1;  // planted: no fence
  if (atomicAdd(&p[0], 1) == 3) p[8] = p[1] + p[2] + p[3] + p[4];
}

TEST(PlantedRace, BetweenBlocks) {
  const DeviceArray<float> p(std::vector<float>(128, 1.0f));
  expect_race([&] { launch({4, 32}, ring_of_blocks, p.data()); }, planted("ring"), planted("ring"));
  const DeviceArray<int> q(std::vector<int>(9, 0));
  expect_race([&] { launch({4, 32}, count, q.data()); }, planted("count without atomic"), planted("count without atomic"));
  expect_race([&] { launch({4, 32}, no_fence, q.data()); }, "race_test.cu", planted("no fence"));
}

__global__ void early_read(const float* from, float* p) {
  SHARED_ARRAY(float, tile, [128]);
  cuda::cp_async<4>(&tile[threadIdx.x], &from[threadIdx.x]);
  cuda::cp_async_commit();
  p[threadIdx.x] = tile[threadIdx.x];
}
__global__ void copy_without_barrier(const float* from, float* p) {
  SHARED_ARRAY(float, tile, [128]);
  cuda::cp_async<4>(&tile[threadIdx.x], &from[threadIdx.x]);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();  // planted: copy without barrier
  p[threadIdx.x] = tile[31 - threadIdx.x];
}

TEST(PlantedRace, AsynchronousCopies) {
  const DeviceArray<float> from(std::vector<float>(32, 1.0f)), p(32);
  expect_race([&] { launch({1, 32}, copy_without_barrier, from.data(), p.data()); }, "race_test.cu");
  if (kTsan) return;  // no race: unwritten_test.cu
  launch({1, 32}, early_read, from.data(), p.data());
  EXPECT_NE(p.values()[0], 1.0f);  // NaN
}

__global__ void produce(float* p) {
  cuda::wait_for_previous_kernel();
  p[threadIdx.x] = 1.0f;  // planted: produced
}
__global__ void consume_early(const float* from, float* p) {
  const float x = from[threadIdx.x];  // planted: read before the previous kernel ended
  cuda::wait_for_previous_kernel();
  p[threadIdx.x] = x;
}
__global__ void never_waits(float* p) { p[threadIdx.x] = 2.0f; }

TEST(PlantedRace, OverlappingKernelThatDoesNotWait) {
  const DeviceArray<float> p(std::vector<float>(32, 0.0f)), q(32);
  const auto chain = [&] {
    launch({1, 32}, produce, p.data());
    launch({1, 32, 0, nullptr, true}, consume_early, p.data(), q.data());
  };
  expect_race(chain, planted("read before the previous kernel ended"), planted("produced"));
  const std::string report = report_of([&] { launch({1, 32, 0, nullptr, true}, never_waits, p.data()); });
  EXPECT_TRUE(contains(report, "ends without wait_for_previous_kernel()"));
}

// Code for sm_80 cannot wait, though the card can overlap.
TEST(PlantedRace, OverlappingKernelOfCodeForAnOlderCard) {
  const DeviceArray<float> p(32);
  cuemu::config().code = 80;
  const std::string report = report_of([&] { launch({1, 32, 0, nullptr, true}, produce, p.data()); });
  cuemu::config().code = INT_MAX;
  EXPECT_TRUE(contains(report, "ends without wait_for_previous_kernel()"));
}

// Weights that were on the device before may be read early.
TEST(PlantedRace, NoneWhenAnOverlappingKernelReadsOldMemoryEarly) {
  const DeviceArray<float> old(std::vector<float>(32, 3.0f)), p(32), q(32);
  for (int i = 0; i < 3; ++i) {
    launch({1, 32, 0, nullptr, i > 0}, produce, p.data());
    launch({1, 32, 0, nullptr, true}, consume_early, old.data(), q.data());
  }
  EXPECT_EQ(q.values(), std::vector<float>(32, 3.0f));
}

__global__ void fill(float* p, float x) { p[threadIdx.x] = x; }
__global__ void take(const float* from, float* p) { p[threadIdx.x] = from[threadIdx.x]; }

TEST(PlantedRace, StreamsWithoutAnEvent) {
  const Stream first(cudaStreamNonBlocking), second(cudaStreamNonBlocking);
  const DeviceArray<float> p(std::vector<float>(32, 0.0f)), q(std::vector<float>(32, 0.0f));
  expect_race(
      [&] {
        launch({1, 32, 0, first}, fill, p.data(), 1.0f);
        launch({1, 32, 0, second}, take, p.data(), q.data());
      },
      "race_test.cu", "race_test.cu");
}

// Pageable memory has been read when cudaMemcpy returns, but it need not have arrived.
TEST(PlantedRace, ACopyThatAStreamDoesNotWaitFor) {
  const Stream stream(cudaStreamNonBlocking);
  const std::vector<float> host(32, 2.0f);
  const DeviceArray<float> p(std::vector<float>(32, 1.0f)), q(std::vector<float>(32, 0.0f));
  const auto work = [&] {
    check(cudaMemcpy(p.data(), host.data(), 128, cudaMemcpyHostToDevice));
    launch({1, 32, 0, stream}, take, p.data(), q.data());
    check(cudaStreamSynchronize(stream));
  };
  expect_race(work, "memcpy", "race_test.cu");
  if (kTsan) return;
  work();
  EXPECT_EQ(q.values()[31], 1.0f);
  EXPECT_EQ(p.values()[31], 2.0f);
}

TEST(PlantedRace, ACopyBetweenDevicesWithoutAnEvent) {
  const Stream here(cudaStreamNonBlocking);
  const DeviceArray<float> p(std::vector<float>(32, 0.0f));
  check(cudaSetDevice(1));
  const Stream there(cudaStreamNonBlocking);
  const DeviceArray<float> q(std::vector<float>(32, 0.0f)), r(std::vector<float>(32, 0.0f));
  expect_race(
      [&] {
        check(cudaMemcpyPeerAsync(q.data(), 1, p.data(), 0, 128, here));
        launch({1, 32, 0, there}, take, q.data(), r.data());
        check(cudaStreamSynchronize(here));
      },
      "race_test.cu", "memcpy");
  check(cudaSetDevice(0));
}

TEST(PlantedRace, PinnedMemoryReadBeforeTheStreamIsSynchronised) {
  const Stream stream;
  const Pinned<float> host(32);
  const DeviceArray<float> p(std::vector<float>(32, 1.0f));
  const auto work = [&] {
    check(cudaMemcpyAsync(host.data(), p.data(), 128, cudaMemcpyDeviceToHost, stream));
    EXPECT_TRUE(std::isnan(host.data()[0]));  // planted: read before the copy
  };
  expect_race(work, "memcpy", planted("read before the copy"));
  if (kTsan) return;
  work();
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(host.data()[0], 1.0f);
}

// Some machines stage pageable memory during the call, others give its address to the card.
TEST(PlantedRace, PageableMemoryChangedBeforeTheStreamIsSynchronised) {
  const Stream stream;
  std::vector<float> host(32, 1.0f);
  const DeviceArray<float> p(32);
  const auto work = [&] {
    check(cudaMemcpyAsync(p.data(), host.data(), 128, cudaMemcpyHostToDevice, stream));
    host[0] = 2.0f;  // planted: changed before the copy
  };
  expect_race(work, "memcpy", planted("changed before the copy"));
  if (kTsan) return;
  work();
  EXPECT_EQ(p.values()[0], 2.0f);
}

}  // namespace
}  // namespace rwkv::test
