// SPDX-License-Identifier: Apache-2.0
// Barriers and warp operations that not all take part in: the emulator reports them in every build.
#include "cuemu/planted/planted.h"

namespace rwkv::test {
namespace {

__global__ void half_a_barrier(float* p) {
  if (threadIdx.x < 16) __syncthreads();  // planted: half a barrier
  p[threadIdx.x] = 1;
}
__global__ void two_barriers(float* p) {
  if (threadIdx.x < 16) {
    __syncthreads();  // planted: one barrier
    p[0] = 1;
  } else {
    __syncthreads();  // planted: other barrier
  }
}
__global__ void two_barriers_in_a_line(float* p) {
  threadIdx.x < 16 ? __syncthreads() : __syncthreads();  // planted: barriers in a line
  p[0] = 1;
}
__global__ void exit_before_barrier(float* p) {
  if (threadIdx.x == 7) return;
  __syncthreads();  // planted: barrier of the others
  p[threadIdx.x] = 1;
}

TEST(PlantedSync, BarrierForHalfOfTheBlock) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, half_a_barrier, p.data()); });
  EXPECT_TRUE(contains(report, planted("half a barrier")));
  EXPECT_TRUE(contains(report, "deadlock: 16 threads have ended; 16 wait in __syncthreads"));
}

TEST(PlantedSync, BarriersInTwoPlaces) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, two_barriers, p.data()); });
  EXPECT_TRUE(contains(report, planted("one barrier")));
  EXPECT_TRUE(contains(report, planted("other barrier")));
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, two_barriers_in_a_line, p.data()); }), planted("barriers in a line")));
}

TEST(PlantedSync, ThreadThatEndsBeforeABarrier) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, exit_before_barrier, p.data()); });
  EXPECT_TRUE(contains(report, planted("barrier of the others")));
  EXPECT_TRUE(contains(report, "block (0,0,0)"));
}

__global__ void shuffle_after_exit(float* p) {
  if (threadIdx.x == 5) return;
  p[threadIdx.x] = __shfl_down_sync(kAll, 1.0f, 1);  // planted: shuffle after exit
}
__global__ void shuffle(float* p) {
  p[threadIdx.x] = __shfl_xor_sync(kAll, 1.0f, 1);  // planted: shuffle
}
__global__ void not_in_its_mask(float* p) {
  p[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0);  // planted: not in its mask
}
__global__ void source_outside_mask(float* p) {
  if (threadIdx.x < 8) p[threadIdx.x] = __shfl_sync(0xffu, 1.0f, 9);  // planted: source outside mask
}
__global__ void width_24(float* p) {
  p[threadIdx.x] = __shfl_xor_sync(kAll, 1.0f, 1, 24);  // planted: width 24
}
__global__ void two_shuffles(float* p) {
  if (threadIdx.x < 16) {
    p[threadIdx.x] = __shfl_xor_sync(kAll, 1.0f, 1);  // planted: one shuffle
  } else {
    p[threadIdx.x] = __shfl_xor_sync(kAll, 2.0f, 1);  // planted: other shuffle
  }
}
__global__ void overlapping_masks(float* p) {
  p[threadIdx.x] = static_cast<float>(__ballot_sync(threadIdx.x == 0 ? 3u : kAll, 1));  // planted: overlapping masks
}

TEST(PlantedSync, MaskWithALaneThatHasEnded) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, shuffle_after_exit, p.data()); });
  EXPECT_TRUE(contains(report, planted("shuffle after exit")));
  // In reverse order lanes wait before lane 5 ends.
  EXPECT_TRUE(contains(report, "has lane 5, whose thread has ended") || contains(report, "deadlock: 1 threads have ended"));
}

TEST(PlantedSync, MaskWithLanesThatTheBlockDoesNotHave) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 48}, shuffle, p.data()); });
  EXPECT_TRUE(contains(report, planted("shuffle")));
  EXPECT_TRUE(contains(report, "mask 0xffffffff has lane 16, which the block does not have"));
}

TEST(PlantedSync, MaskWithoutTheCaller) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, not_in_its_mask, p.data()); });
  EXPECT_TRUE(contains(report, planted("not in its mask")));
  EXPECT_TRUE(contains(report, "mask 0x0000ffff does not have the calling lane"));
}

TEST(PlantedSync, ShuffleFromALaneOutsideTheMask) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, source_outside_mask, p.data()); });
  EXPECT_TRUE(contains(report, planted("source outside mask")));
  EXPECT_TRUE(contains(report, "reads lane 9, which is not in the mask"));
}

TEST(PlantedSync, WidthThatIsNoPowerOfTwo) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, width_24, p.data()); });
  EXPECT_TRUE(contains(report, planted("width 24")));
  EXPECT_TRUE(contains(report, "width 24 is not a power of two"));
}

TEST(PlantedSync, LanesInTwoShuffles) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, two_shuffles, p.data()); });
  EXPECT_TRUE(contains(report, planted("one shuffle")));
  EXPECT_TRUE(contains(report, planted("other shuffle")));
}

TEST(PlantedSync, MasksThatOverlap) {
  const DeviceArray<float> p(64);
  const std::string report = report_of([&] { launch({1, 32}, overlapping_masks, p.data()); });
  EXPECT_TRUE(contains(report, planted("overlapping masks")));
}

// After a report the device is as good as new.
TEST(PlantedSync, TheNextKernelRuns) {
  const DeviceArray<float> p(64);
  EXPECT_NE(report_of([&] { launch({1, 32}, width_24, p.data()); }), "");
  launch({1, 32}, shuffle, p.data());
  EXPECT_EQ(p.values()[31], 1.0f);
}

TEST(PlantedSync, EveryCallFailsUntilTheReportIsTaken) {
  const DeviceArray<float> p(64);
  launch({1, 32}, width_24, p.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  float x;
  EXPECT_EQ(cudaMemcpy(&x, p.data(), 4, cudaMemcpyDeviceToHost), cudaErrorLaunchFailure);
  EXPECT_TRUE(contains(cudaGetErrorString(cudaErrorLaunchFailure), planted("width 24")));
  cuemu::take_report();
}

}  // namespace
}  // namespace rwkv::test
