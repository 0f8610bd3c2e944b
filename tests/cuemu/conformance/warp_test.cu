// SPDX-License-Identifier: Apache-2.0
// Shuffles, votes, matches and reductions of a warp.
#include <cuda_fp16.h>

#include "cuemu/conformance/conformance.h"

namespace rwkv::test {
namespace {

__global__ void shuffles(int* out) {
  const int lane = threadIdx.x;
  out[lane] = __shfl_sync(kAll, 100 + lane, 5);
  out[32 + lane] = __shfl_sync(kAll, 100 + lane, 35);  // wraps around
  out[64 + lane] = __shfl_sync(kAll, 100 + lane, 3, 8);
  out[96 + lane] = __shfl_up_sync(kAll, 100 + lane, 3);
  out[128 + lane] = __shfl_up_sync(kAll, 100 + lane, 3, 16);
  out[160 + lane] = __shfl_down_sync(kAll, 100 + lane, 3);
  out[192 + lane] = __shfl_down_sync(kAll, 100 + lane, 3, 4);
  out[224 + lane] = __shfl_xor_sync(kAll, 100 + lane, 9);
  out[256 + lane] = __shfl_xor_sync(kAll, 100 + lane, 1, 2);
}

TEST(Warp, ShufflesReadTheirLane) {
  const auto out = run(shuffles, 9 * 32, 32);
  for (int lane = 0; lane < 32; ++lane) {
    const int expected[] = {5,
                            3,
                            lane / 8 * 8 + 3,
                            lane < 3 ? lane : lane - 3,
                            lane % 16 < 3 ? lane : lane - 3,
                            lane > 28 ? lane : lane + 3,
                            lane % 4 > 0 ? lane : lane + 3,
                            lane ^ 9,
                            lane ^ 1};
    for (int i = 0; i < 9; ++i) EXPECT_EQ(out[32 * i + lane], 100 + expected[i]) << "shuffle " << i << ", lane " << lane;
  }
}

__global__ void shuffle_types(double* out) {
  const int lane = threadIdx.x;
  out[lane] = __shfl_xor_sync(kAll, 0.5 + lane, 1);
  out[32 + lane] = __shfl_xor_sync(kAll, 0.5f + static_cast<float>(lane), 1);
  out[64 + lane] = static_cast<double>(__shfl_xor_sync(kAll, (1ll << 40) + lane, 1));
  const __half2 pair = __shfl_xor_sync(kAll, __floats2half2_rn(static_cast<float>(lane), -static_cast<float>(lane)), 1);
  out[96 + lane] = __low2float(pair) - __high2float(pair);
}

TEST(Warp, ShufflesMoveEightFourAndTwoTimesTwoBytes) {
  const auto out = run(shuffle_types, 4 * 32, 32);
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], (lane ^ 1) + 0.5);
    EXPECT_EQ(out[32 + lane], (lane ^ 1) + 0.5);
    EXPECT_EQ(out[64 + lane], 0x1p40 + (lane ^ 1));
    EXPECT_EQ(out[96 + lane], 2 * (lane ^ 1));
  }
}

// Each half of a warp goes its own way, with its own mask.
__global__ void half_warps(int* out) {
  const int lane = threadIdx.x % 32;
  int sum = lane;
  if (lane < 16) {
    for (int i = 8; i > 0; i /= 2) sum += __shfl_xor_sync(0x0000ffffu, sum, i);
  } else {
    for (int i = 8; i > 0; i /= 2) sum += __shfl_xor_sync(0xffff0000u, sum, i);
  }
  out[threadIdx.x] = sum;
}

TEST(Warp, LanesOfDifferentMasksDoNotMeet) {
  const auto out = run(half_warps, 64, 64);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i % 32 < 16 ? 120 : 376) << i;
}

__global__ void quarter_rounds(int* out) {
  const int lane = threadIdx.x;
  const unsigned mask = 0xffu << (lane / 8 * 8);
  int value = lane;
  for (int round = 0; round < lane / 8 + 1; ++round) value = __shfl_sync(mask, value, (lane + 1) % 8, 8);
  out[lane] = value;
}

TEST(Warp, MasksMeetDifferentNumbersOfTimes) {
  const auto out = run(quarter_rounds, 32, 32);
  for (int lane = 0; lane < 32; ++lane) EXPECT_EQ(out[lane], lane / 8 * 8 + (lane + lane / 8 + 1) % 8) << lane;
}

__global__ void votes(unsigned* out) {
  const int lane = threadIdx.x;
  out[lane] = __ballot_sync(kAll, lane % 3 == 0);
  out[32 + lane] = static_cast<unsigned>(__any_sync(kAll, lane == 7));
  out[64 + lane] = static_cast<unsigned>(__all_sync(kAll, lane != 7));
  out[96 + lane] = static_cast<unsigned>(__any_sync(kAll, lane == 32));
  out[128 + lane] = static_cast<unsigned>(__all_sync(kAll, lane != 32));
  if (lane >= 4 && lane < 8) out[160 + lane] = __ballot_sync(0xf0u, lane != 5);
}

TEST(Warp, Votes) {
  const auto out = run(votes, 192, 32);
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], 0x49249249u);
    EXPECT_NE(out[32 + lane], 0u);
    EXPECT_EQ(out[64 + lane], 0u);
    EXPECT_EQ(out[96 + lane], 0u);
    EXPECT_NE(out[128 + lane], 0u);
    EXPECT_EQ(out[160 + lane], lane >= 4 && lane < 8 ? 0xd0u : 0u);
  }
}

__global__ void matches(unsigned* out) {
  const int lane = threadIdx.x;
  int all = 7;
  out[lane] = __match_any_sync(kAll, lane / 5);
  out[32 + lane] = __match_all_sync(kAll, lane / 32, &all);
  out[64 + lane] = static_cast<unsigned>(all);
  out[96 + lane] = __match_all_sync(kAll, lane / 31, &all);
  out[128 + lane] = static_cast<unsigned>(all);
}

TEST(Warp, Matches) {
  const auto out = run(matches, 160, 32);
  for (int lane = 0; lane < 32; ++lane) {
    unsigned same = 0;
    for (int other = 0; other < 32; ++other) same |= (other / 5 == lane / 5 ? 1u : 0u) << other;
    EXPECT_EQ(out[lane], same);
    EXPECT_EQ(out[32 + lane], kAll);
    EXPECT_NE(out[64 + lane], 0u);
    EXPECT_EQ(out[96 + lane], 0u);
    EXPECT_EQ(out[128 + lane], 0u);
  }
}

__global__ void reductions(int* out) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  const int lane = threadIdx.x;
  out[lane] = __reduce_add_sync(kAll, lane - 8);
  out[32 + lane] = __reduce_min_sync(kAll, lane - 8);
  out[64 + lane] = __reduce_max_sync(kAll, lane - 8);
  out[96 + lane] = static_cast<int>(__reduce_max_sync(kAll, static_cast<unsigned>(lane - 8)));
  out[128 + lane] = static_cast<int>(__reduce_and_sync(kAll, lane | 4u));
  out[160 + lane] = static_cast<int>(__reduce_or_sync(kAll, 1u << lane / 2));
  out[192 + lane] = static_cast<int>(__reduce_xor_sync(kAll, 1u << lane));
  if (lane % 2 == 0) out[224 + lane] = __reduce_add_sync(0x55555555u, 1);
#endif
}

TEST(Warp, Reductions) {
  if (sm() < 80) GTEST_SKIP() << "skipped: needs sm_80";
  const auto out = run(reductions, 256, 32);
  for (int lane = 0; lane < 32; ++lane) {
    const int expected[] = {240, -8, 23, -1, 4, 0xffff, -1, lane % 2 == 0 ? 16 : 0};
    for (int i = 0; i < 8; ++i) EXPECT_EQ(out[32 * i + lane], expected[i]) << i;
  }
}

// Neighbours hand on a value through shared memory. Every lane reads before any writes again.
__global__ void relay(int* out) {
  SHARED_ARRAY(int, place, [64]);
  int value = threadIdx.x;
  for (int round = 0; round < 5; ++round) {
    place[threadIdx.x] = value;
    __syncwarp();
    value = place[threadIdx.x / 32 * 32 + (threadIdx.x + 1) % 32];
    __syncwarp();
  }
  out[threadIdx.x] = value;
}

TEST(Warp, SyncwarpOrdersSharedMemory) {
  const auto out = run(relay, 64, 64);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i / 32 * 32 + (i + 5) % 32) << i;
}

// The second warp has 16 lanes, and of the first one leaves early.
__global__ void partial_warps(int* out) {
  if (threadIdx.x == 31) return;
  const unsigned mask = threadIdx.x < 32 ? 0x7fffffffu : 0xffffu;
  out[threadIdx.x] = __popc(__ballot_sync(mask, 1));
}

TEST(Warp, MasksOfTheLanesThatAreThere) {
  const auto out = run(partial_warps, 48, 48);
  for (int i = 0; i < 48; ++i) EXPECT_EQ(out[i], i < 31 ? 31 : i == 31 ? 0 : 16) << i;
}

}  // namespace
}  // namespace rwkv::test
