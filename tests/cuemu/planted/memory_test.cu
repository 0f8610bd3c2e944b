// SPDX-License-Identifier: Apache-2.0
// Memory that is not there, not written, not aligned or not the device's.
#include <cmath>

#include "cuemu/planted/planted.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::test {
namespace {

constexpr int kN = 37;

__global__ void one_too_many(const float* x, float* p) {
  float sum = 0;
  for (int i = 0; i <= kN; ++i) sum += x[i];  // planted: one too many
  p[0] = sum;
}
__global__ void shared_overrun(float* p) {
  SHARED_ARRAY(float, a, [32]);
  SHARED_ARRAY(float, b, [32]);
  a[threadIdx.x] = b[threadIdx.x] = 1.0f;
  __syncwarp();
  const float* const next = a;
  p[threadIdx.x] = next[threadIdx.x + 1] + b[0];  // planted: shared overrun
}
__global__ void shared_index(float* p) {
  SHARED_ARRAY(float, a, [32]);
  a[threadIdx.x + 1] = 1.0f;  // planted: shared index
  p[threadIdx.x] = a[threadIdx.x];
}
__global__ void dynamic_overrun(float* p) {
  DYN_SHARED(float, x);
  x[threadIdx.x] = 1.0f;  // planted: dynamic overrun
  p[threadIdx.x] = x[threadIdx.x];
}
struct Pair {
  const float* from;
  float* to;
};
__global__ void follow(Pair pair) {
  pair.to[threadIdx.x] = pair.from[threadIdx.x];  // planted: follow
}

TEST(PlantedMemory, OnePastTheEnd) {
  const DeviceArray<float> x(kN), p(32);
  expect_asan([&] { launch({1, 1}, one_too_many, x.data(), p.data()); }, "AddressSanitizer", planted("one too many"));
  expect_asan([&] { launch({1, 32}, shared_overrun, p.data()); }, "AddressSanitizer", planted("shared overrun"));
  expect_asan([&] { launch({1, 32}, shared_index, p.data()); }, planted("shared index"), "index 32 out of bounds");
  expect_asan([&] { launch({1, 32, 64}, dynamic_overrun, p.data()); }, "AddressSanitizer", planted("dynamic overrun"));
}

TEST(PlantedMemory, HostCodeThatReadsDeviceMemory) {
  const DeviceArray<float> p(std::vector<float>(kN, 1.0f));
  volatile float x = 0;
  const auto read = [&] {
    x = p.data()[3];  // planted: host reads
  };
  expect_asan(read, "use-after-poison", planted("host reads"));
}

TEST(PlantedMemory, MisalignedVector) {
  struct Load {
    static __global__ void vector(const float* x, float* p) {
      const float4 v = *reinterpret_cast<const float4*>(x + 1);  // planted: misaligned
      p[0] = v.x;
    }
  };
  const DeviceArray<float> x(kN), p(32);
  expect_asan([&] { launch({1, 1}, Load::vector, x.data(), p.data()); }, planted("misaligned") + ".*misaligned address", "");
}

__global__ void hole(float* p) {
  SHARED_ARRAY(float, a, [32]);
  if (threadIdx.x < 31) a[threadIdx.x] = 1.0f;
  __syncwarp();
  p[threadIdx.x] = a[31 - threadIdx.x];
}

TEST(PlantedMemory, NeverWrittenIsNaN) {
  const DeviceArray<float> p(32), never(4);
  EXPECT_TRUE(std::isnan(never.values()[0]));
  if (kTsan) return;  // unwritten_test.cu
  launch({1, 32}, hole, p.data());
  const auto values = p.values();
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], 1.0f);
}

TEST(PlantedMemory, PointersThatAreNotTheDevices) {
  const DeviceArray<float> p(32);
  std::vector<float> host(32);
  float* gone = nullptr;
  check(cudaMalloc(&gone, 128));
  check(cudaFree(gone));
  const std::string line = "memory_test.cu:" + std::to_string(__LINE__ + 1);
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, hole, host.data()); }), line + ": launch: argument 0 points to host"));
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, hole, gone); }), "that was released"));
  if (kAsan || kTsan) return;  // they map so much that numbers may look like addresses
  EXPECT_TRUE(contains(report_of([&] {
                         launch({1, 32}, follow, Pair{p.data(), host.data()});
                       }),
                       "argument 0 has a member at byte 8 that points to host memory"));
}

TEST(PlantedMemory, GraphWithMemoryThatWasReleased) {
  const Stream stream;
  float* p = nullptr;
  check(cudaMalloc(&p, 128));
  const std::string line = "memory_test.cu:" + std::to_string(__LINE__ + 1);
  const Graph graph(capture(stream, [&] { launch({1, 32, 0, stream}, hole, p); }));
  check(cudaFree(p));
  EXPECT_TRUE(contains(report_of([&] { check(cudaGraphLaunch(graph, stream)); }), line));
}

TEST(PlantedMemory, PinnedMemoryReleasedBeforeItsCopiesHaveEnded) {
  const Stream stream;
  const DeviceArray<float> p(32);
  float* host = nullptr;
  check(cudaMallocHost(&host, 256));
  check(cudaMemcpyAsync(p.data(), host + 32, 128, cudaMemcpyHostToDevice, stream));
  const std::string report = report_of([&] { check(cudaFreeHost(host)); });
  EXPECT_TRUE(contains(report, "a copy from or to this memory has not ended"));
  check(cudaMallocHost(&host, 256));
  check(cudaMemcpyAsync(host, p.data(), 128, cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  check(cudaFreeHost(host));
}

TEST(PlantedMemory, CopiesPastTheEnd) {
  const DeviceArray<float> p(kN);
  std::vector<float> host(kN + 1);
  EXPECT_EQ(cudaMemcpy(p.data(), host.data(), 4 * (kN + 1), cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), p.data() + 1, 4 * kN, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(p.data(), 0, 4 * kN + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), p.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), host.data() + 1, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  cudaGetLastError();
}

__global__ void far_rows(const unsigned short* x, float* p) {
  unsigned r[1];
  cuda::ldmatrix<1>(r, x + 8 * threadIdx.x);  // planted: rows in global memory
  p[threadIdx.x] = static_cast<float>(r[0]);
}
__global__ void odd_rows(float* p) {
  SHARED_ARRAY(unsigned short, rows, [8][9]);
  unsigned r[1];
  cuda::ldmatrix<1>(r, rows[threadIdx.x % 8]);  // planted: odd rows
  p[threadIdx.x] = static_cast<float>(r[0]);
}
__global__ void odd_copy(const float* x, float* p) {
  SHARED_ARRAY(float, tile, [64]);
  cuda::cp_async<16>(&tile[0], x + 1);  // planted: odd copy
  p[0] = tile[0];
}
__global__ void too_much_shared(float* p) {
  SHARED_ARRAY(float, tile, [240][256]);
  tile[0][threadIdx.x] = 1.0f;
  p[threadIdx.x] = tile[0][threadIdx.x];
}

TEST(PlantedMemory, TensorInstructionsOnBadAddresses) {
  const DeviceArray<unsigned short> x(64 * 8);
  const DeviceArray<float> y(64), p(32);
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, far_rows, x.data(), p.data()); }), planted("rows in global memory")));
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, odd_rows, p.data()); }), planted("odd rows")));
  EXPECT_TRUE(contains(report_of([&] { launch({1, 1}, odd_copy, y.data(), p.data()); }), planted("odd copy")));
}

TEST(PlantedMemory, MoreSharedMemoryThanTheDeviceHas) {
  const DeviceArray<float> p(32);
  EXPECT_TRUE(contains(report_of([&] {
                         launch({1, 32}, too_much_shared, p.data());
                       }),
                       "uses 245760 bytes of shared memory, sm_90 has 232448"));
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, dynamic_overrun, p.data()); }), "launched with 0 bytes of it"));
}

}  // namespace
}  // namespace rwkv::test
