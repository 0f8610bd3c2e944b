// SPDX-License-Identifier: Apache-2.0
// Blocks: built-in variables, barriers, shared memory, atomics, launches.
#include <cstring>
#include <utility>

#include "cuemu/conformance/objects.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::test {
namespace {

__global__ void where_am_i(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z + 1000 * blockIdx.x + 10000 * blockIdx.y + 100000 * blockIdx.z;
}

TEST(Block, IndicesInThreeDimensions) {
  const DeviceArray<unsigned> out(2 * 3 * 2 * 4 * 2 * 3);
  launch({dim3(2, 3, 2), dim3(4, 2, 3)}, where_am_i, out.data());
  const auto values = out.values();
  for (unsigned i = 0; i < values.size(); ++i) {
    const unsigned t = i % 24, b = i / 24;
    EXPECT_EQ(values[i], t % 4 + 10 * (t / 4 % 2) + 100 * (t / 8) + 1000 * (b % 2) + 10000 * (b / 2 % 3) + 100000 * (b / 6));
  }
}

// A sum in a tree. The second round's writes follow the first round's reads only if the barrier holds them back.
__global__ void tree_sums(int* out) {
  SHARED_ARRAY(int, part, [2][128]);
  for (int round = 0; round < 2; ++round) {
    __syncthreads();
    part[0][threadIdx.x] = static_cast<int>(threadIdx.x) + round;
    for (unsigned n = 64; n > 0; n /= 2) {
      __syncthreads();
      if (threadIdx.x < n) part[0][threadIdx.x] += part[0][threadIdx.x + n];
    }
    __syncthreads();
    out[128 * round + threadIdx.x] = part[0][0];
  }
}

TEST(Block, BarriersOrderSharedMemory) {
  const auto out = run(tree_sums, 256, 128);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(out[i], 127 * 64 + (i / 128) * 128) << i;
}

__global__ void counting_barriers(int* out) {
  const int i = threadIdx.x;
  out[i] = __syncthreads_count(i % 3 == 0);
  out[70 + i] = __syncthreads_or(i == 69);
  out[140 + i] = __syncthreads_and(i != 69);
  out[210 + i] = __syncthreads_or(i == 70);
  out[280 + i] = __syncthreads_and(i != 70);
}

TEST(Block, BarriersCount) {
  const auto out = run(counting_barriers, 350, 70);
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(out[i], 24);
    EXPECT_NE(out[70 + i], 0);
    EXPECT_EQ(out[140 + i], 0);
    EXPECT_EQ(out[210 + i], 0);
    EXPECT_NE(out[280 + i], 0);
  }
}

// Static and dynamic memory together, and in two functions.
__device__ float reversed(float x) {
  SHARED_ARRAY(float, turn, [96]);
  turn[threadIdx.x] = x;
  __syncthreads();
  return turn[blockDim.x - 1 - threadIdx.x];
}
__global__ void static_and_dynamic(float* out) {
  DYN_SHARED(float, twice);
  twice[2 * threadIdx.x] = twice[2 * threadIdx.x + 1] = static_cast<float>(threadIdx.x);
  const float x = reversed(static_cast<float>(threadIdx.x));
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = x + 1000.0f * twice[(threadIdx.x + 64) % 192];
}

TEST(Block, StaticAndDynamicSharedMemory) {
  const DeviceArray<float> out(3 * 96);
  launch({3, 96, 192 * sizeof(float)}, static_and_dynamic, out.data());
  const auto values = out.values();
  for (int i = 0; i < 3 * 96; ++i) {
    EXPECT_EQ(values[i], static_cast<float>(95 - i % 96 + 1000 * ((i % 96 + 64) % 192 / 2))) << i;
  }
}

__global__ void last_byte(int* out, int bytes) {
  DYN_SHARED(unsigned char, memory);
  memory[bytes - 1] = 42;
  *out = memory[bytes - 1];
}

TEST(Block, MoreThan48KiBOfSharedMemoryMustBeAskedFor) {
  int most = 0;
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  ASSERT_GE(most, 64 << 10);
  const DeviceArray<int> out(1);
  EXPECT_THROW(launch({1, 1, static_cast<std::size_t>(most)}, last_byte, out.data(), most), Error);
  cudaGetLastError();
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(last_byte), cudaFuncAttributeMaxDynamicSharedMemorySize, most));
  launch({1, 1, static_cast<std::size_t>(most)}, last_byte, out.data(), most);
  EXPECT_EQ(out.values()[0], 42);
  EXPECT_NE(
      cudaFuncSetAttribute(reinterpret_cast<const void*>(last_byte), cudaFuncAttributeMaxDynamicSharedMemorySize, most + 1),
      cudaSuccess);
  cudaGetLastError();
}

__global__ void nothing(int*) {}

TEST(Block, LaunchesOfBadShapesAreErrors) {
  const DeviceArray<int> memory(1);
  for (const auto& [grid, block] :
       {std::pair{dim3(1), dim3(1025)}, std::pair{dim3(1), dim3(1, 1, 65)}, std::pair{dim3(1), dim3(512, 4)},
        std::pair{dim3(1), dim3(0)}, std::pair{dim3(1, 65536), dim3(1)}, std::pair{dim3(0), dim3(1)}}) {
    EXPECT_THROW(launch({grid, block}, nothing, memory.data()), Error);
    EXPECT_NE(cudaGetLastError(), cudaSuccess);
  }
  launch({1, 1024}, nothing, memory.data());
  check(cudaDeviceSynchronize());
}

__global__ void atomics(int* out) {
  atomicAdd(&out[0], 3);
  atomicSub(&out[1], 2);
  atomicMax(&out[2], static_cast<int>(threadIdx.x));
  atomicMin(&out[3], -static_cast<int>(threadIdx.x));
  atomicOr(&out[4], 1 << threadIdx.x % 31);
  atomicXor(&out[5], 1 << threadIdx.x % 31);
  atomicAnd(&out[6], static_cast<int>(threadIdx.x));
  atomicInc(reinterpret_cast<unsigned*>(&out[7]), 9);
  if (atomicCAS(&out[8], 0, 1) == 0) atomicAdd(&out[9], 1);  // one thread only
  if (atomicExch(&out[10], 5) == 0) atomicAdd(&out[11], 1);  // one thread only
  atomicAdd(reinterpret_cast<float*>(&out[12]), 0.5f);
  atomicAdd(reinterpret_cast<unsigned long long*>(&out[14]), 1ull << 31);
  atomicDec(reinterpret_cast<unsigned*>(&out[16]), 9);
}

TEST(Block, AtomicsOfAllThreadsCount) {
  const auto out = run(atomics, 18, 93, 4);
  const int n = 4 * 93;
  const int expected[] = {3 * n, -2 * n, 92, -92, 0x7fffffff, 0, 0, n % 10, 1, 1, 5, 1};
  for (int i = 0; i < 12; ++i) EXPECT_EQ(out[i], expected[i]) << i;
  float sum;
  std::memcpy(&sum, &out[12], sizeof sum);
  EXPECT_EQ(sum, 0.5f * n);
  EXPECT_EQ(out[15], n / 2);
  EXPECT_EQ(out[16], (10 - n % 10) % 10);
}

// The last block to end adds up what all have written. Both sides need the fence.
__global__ void last_block_adds(unsigned* memory) {  // [0] blocks that ended, [1] the sum, [2 + block] parts
  SHARED_ARRAY(unsigned, is_last, [1]);
  if (threadIdx.x == 0) {
    memory[2 + blockIdx.x] = 10 + blockIdx.x;
    __threadfence();
    is_last[0] = atomicAdd(&memory[0], 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (is_last[0] && threadIdx.x == 33) {
    __threadfence();
    unsigned sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += memory[2 + i];
    memory[1] = sum;
  }
}

TEST(Block, FencesOrderMemoryBetweenBlocks) { EXPECT_EQ(run(last_block_adds, 7, 40, 5)[1], 60u); }

__global__ void add_one(const int* in, int* out) {
  cuda::wait_for_previous_kernel();
  const int value = in[(threadIdx.x + 1) % blockDim.x];
  cuda::let_next_kernel_start();
  out[threadIdx.x] = value + 1;
}

TEST(Block, OverlappingKernelsWaitForEachOther) {
  const bool overlap = cuda::can_overlap();
  const Stream stream;
  const DeviceArray<int> a(std::vector<int>(64, 5)), b(64);
  for (int i = 0; i < 3; ++i) {
    launch({1, 64, 0, stream, overlap}, add_one, a.data(), b.data());
    launch({1, 64, 0, stream, overlap}, add_one, b.data(), a.data());
  }
  EXPECT_EQ(a.values(), std::vector<int>(64, 11));
}

}  // namespace
}  // namespace rwkv::test
