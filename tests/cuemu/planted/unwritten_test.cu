// SPDX-License-Identifier: Apache-2.0
// Memory that is read, but was never written: reported by the build with TSan, NaN in all.
#include "cuemu/planted/planted.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::test {
namespace {

constexpr unsigned kLeftOut = 5;

struct Three {
  float x, y, z;
};

// What the thread wrote itself, but one.
template <class T>
__global__ void read_one(float* p) {
  SHARED_ARRAY(T, tile, [32]);
  if (threadIdx.x != kLeftOut) tile[threadIdx.x] = T{};
  const T mine = tile[threadIdx.x];  // planted: one not written
  p[threadIdx.x] = reinterpret_cast<const unsigned char&>(mine);
}
// Of one vector the last number.
__global__ void read_vectors(float* p) {
  SHARED_ARRAY(float, tile, [4 * 32]);
  for (int i = 0; i < 4; ++i) {
    if (threadIdx.x != kLeftOut || i < 3) tile[4 * threadIdx.x + i] = 1.0f;
  }
  const float4 mine = *reinterpret_cast<const float4*>(tile + 4 * threadIdx.x);  // planted: vector in part
  p[threadIdx.x] = mine.x;
}
__global__ void read_dynamic(float* p) {
  DYN_SHARED(float, x);
  if (threadIdx.x > 0) x[threadIdx.x - 1] = 1.0f;
  __syncthreads();
  p[threadIdx.x] = x[threadIdx.x];  // planted: dynamic
}
__global__ void read_matrix(float* p) {
  SHARED_ARRAY(unsigned short, rows, [8][8]);
  if (threadIdx.x < 8 && threadIdx.x != kLeftOut) {
    for (unsigned short& x : rows[threadIdx.x]) x = 1;
  }
  __syncwarp();
  unsigned r[1];
  cuda::ldmatrix<1>(r, rows[threadIdx.x % 8]);  // planted: row of a matrix
  p[threadIdx.x] = static_cast<float>(r[0]);
}
template <class T>
__global__ void count(float* p) {
  SHARED_ARRAY(T, n, [2]);
  if (threadIdx.x == 0) n[0] = T{0};
  __syncthreads();
  atomicAdd(&n[threadIdx.x == kLeftOut ? 1 : 0], T{1});  // planted: counter
  __syncthreads();
  p[threadIdx.x] = static_cast<float>(n[0]);
}
__global__ void copy_before_it_is_there(const float* from, float* p) {
  SHARED_ARRAY(float, tile, [32]);
  tile[threadIdx.x] = 0.0f;
  if (threadIdx.x == kLeftOut) {
    cuda::cp_async<4>(&tile[threadIdx.x], &from[threadIdx.x]);
    cuda::cp_async_commit();
  }
  p[threadIdx.x] = tile[threadIdx.x];  // planted: copy not awaited
}
// An index that is not there ends the process.
__global__ void follow(const float* from, float* p) {
  SHARED_ARRAY(unsigned, index, [32]);
  if (threadIdx.x != kLeftOut) index[threadIdx.x] = 0;
  p[threadIdx.x] = from[std::size_t{index[threadIdx.x]} << 10];  // planted: index
}

// Each block has shared memory of its own.
__global__ void write_in_the_first_block(float* p) {
  SHARED_ARRAY(float, tile, [32]);
  if (blockIdx.x == 0) tile[threadIdx.x] = 1.0f;
  if (threadIdx.x == kLeftOut) p[blockIdx.x] = tile[threadIdx.x];  // planted: of another block
}
__global__ void take(const float* from, float* p) {
  p[threadIdx.x] = from[threadIdx.x];  // planted: device memory
}

class PlantedUnwritten : public testing::Test {
 protected:
  template <class Work>
  void expect_report(Work&& work, const std::string& line, const std::string& memory = "shared memory") {
    if (!kTsan) return;
    EXPECT_EQ(report_of(work).find(line + ": block (0,0,0) thread (5,0,0): reads " + memory + " that was never written; "), 0u);
  }
  void expect_report_of(void (*kernel)(float*), const std::string& line) {
    expect_report([&] { launch({1, 32}, kernel, p_.data()); }, line);
  }

  const DeviceArray<float> p_{32}, from_{std::vector<float>(32, 1.0f)};
};

TEST_F(PlantedUnwritten, OneElement) {
  const std::string line = planted("one not written");
  expect_report_of(read_one<unsigned char>, line);
  expect_report_of(read_one<__half>, line);
  expect_report_of(read_one<float>, line);
  expect_report_of(read_one<int>, line);
  expect_report_of(read_one<double>, line);
  expect_report_of(read_one<Three>, line);
  expect_report_of(read_one<float4>, line);
}

TEST_F(PlantedUnwritten, AVectorInPart) { expect_report_of(read_vectors, planted("vector in part")); }

TEST_F(PlantedUnwritten, DynamicSharedMemory) {
  expect_report([&] { launch({1, kLeftOut + 1, 4 * (kLeftOut + 1)}, read_dynamic, p_.data()); }, planted("dynamic"));
}

TEST_F(PlantedUnwritten, ARowOfAMatrix) { expect_report_of(read_matrix, planted("row of a matrix")); }

TEST_F(PlantedUnwritten, ACounter) {
  expect_report_of(count<unsigned>, planted("counter"));
  expect_report_of(count<unsigned long long>, planted("counter"));
  expect_report_of(count<float>, planted("counter"));
}

TEST_F(PlantedUnwritten, ACopyThatWasNotAwaited) {
  expect_report([&] { launch({1, 32}, copy_before_it_is_there, from_.data(), p_.data()); }, planted("copy not awaited"));
}

TEST_F(PlantedUnwritten, AnotherBlocks) {
  if (!kTsan) return;
  EXPECT_TRUE(contains(report_of([&] {
                         launch({2, 32}, write_in_the_first_block, p_.data());
                       }),
                       planted("of another block") + ": block (1,0,0) thread (5,0,0): reads shared memory"));
}

TEST_F(PlantedUnwritten, AnIndexThatEndsTheProcess) {
  if (!kTsan) return;
  const auto work = [&] {
    launch({1, 32}, follow, from_.data(), p_.data());
    cudaDeviceSynchronize();
  };
  EXPECT_DEATH(work(), "SEGV(.|\n)*cuemu: " + planted("index") + ".*never written");
}

TEST_F(PlantedUnwritten, DeviceMemory) {
  const std::vector<float> ones(32, 1.0f);
  const DeviceArray<float> source(32), copy(ones);
  check(cudaMemcpy(source.data(), ones.data(), 4 * kLeftOut, cudaMemcpyHostToDevice));
  check(cudaMemset(source.data() + kLeftOut + 1, 0, 4 * (32 - kLeftOut - 1)));
  expect_report([&] { launch({1, 32}, take, source.data(), p_.data()); }, planted("device memory"), "memory");
  check(cudaMemcpy(copy.data(), source.data(), 4 * 32, cudaMemcpyDeviceToDevice));
  expect_report([&] { launch({1, 32}, take, copy.data(), p_.data()); }, planted("device memory"), "memory");
}

// Not reported: what others wrote before a barrier; copies that were awaited; rows and numbers that are not written, but not
// read either, between those that are; addresses that ldmatrix does not use.
__global__ void read_what_is_written(const float* from, float* p) {
  SHARED_ARRAY(float, tile, [2][32]);
  SHARED_ARRAY(float, copied, [33]);
  SHARED_ARRAY(unsigned short, rows, [16][16]);
  SHARED_ARRAY(unsigned, n, [2]);
  const unsigned i = threadIdx.x;
  tile[1][i] = static_cast<float>(i);
  cuda::cp_async<4>(&copied[i], &from[i]);
  cuda::cp_async_commit();
  for (int j = 0; j < 8; ++j) {
    if (i < 8) rows[i][j] = static_cast<unsigned short>(j);
  }
  if (i == 0) n[1] = 0;
  cuda::cp_async_wait<0>();
  __syncthreads();
  unsigned r[1];
  cuda::ldmatrix<1>(r, rows[i % 16]);
  atomicAdd(&n[1], r[0] & 0xffffu);  // 2 (i % 4)
  __syncthreads();
  p[32 * blockIdx.x + i] = tile[1][31 - i] + copied[31 - i] + static_cast<float>(n[1]);
}

TEST_F(PlantedUnwritten, NothingElse) {
  const DeviceArray<float> p(3 * 32);
  launch({3, 32}, read_what_is_written, from_.data(), p.data());
  const auto values = p.values();
  for (int i = 0; i < 3 * 32; ++i) EXPECT_EQ(values[i], 31 - i % 32 + 1 + 8 * (0 + 2 + 4 + 6)) << i;
}

}  // namespace
}  // namespace rwkv::test
