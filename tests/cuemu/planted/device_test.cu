// SPDX-License-Identifier: Apache-2.0
// What a test can set: compute capability, number of devices and their memory; and what it can ask: what was not released.
#include <thread>

#include "cuemu/planted/planted.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::test {
namespace {

class Emulator : public testing::Test {
 protected:
  void TearDown() override {
    check(cudaSetDevice(0));
    cuemu::config() = before_;
  }

 private:
  cuemu::Config before_ = cuemu::config();
};

__global__ void fill(float* p) { p[threadIdx.x] = 1.0f; }
__global__ void brain_floats(float* p) {
  float d[4] = {};
  const unsigned a[4] = {}, b[2] = {};
  cuda::mma_m16n8k16<__nv_bfloat16>(d, a, b);  // planted: brain floats
  p[threadIdx.x] = d[0];
}

TEST_F(Emulator, RefusesWhatTheComputeCapabilityDoesNotHave) {
  cuemu::config().sm = 75;
  EXPECT_EQ(sm(), 75);
  const DeviceArray<float> p(32);
  const std::string report = report_of([&] { launch({1, 32}, brain_floats, p.data()); });
  EXPECT_TRUE(contains(report, planted("brain floats")));
  EXPECT_TRUE(contains(report, "needs sm_80"));
  EXPECT_THROW(launch({1, 32, 0, nullptr, true}, fill, p.data()), DeviceError);
  cudaGetLastError();
}

TEST_F(Emulator, RefusesWhatTheCodeDoesNotHaveOnAnyCard) {
  cuemu::config().code = 75;
  const DeviceArray<float> p(32);
  EXPECT_TRUE(contains(report_of([&] { launch({1, 32}, brain_floats, p.data()); }), planted("brain floats")));
  cuemu::config().code = 0;
  EXPECT_THROW(launch({1, 32}, fill, p.data()), DeviceError);
  cudaGetLastError();
}

__global__ void add_ones(float* d) {
  float sums[4] = {d[0], d[1], d[2], d[3]};
  const unsigned ones = 0x3c003c00u, a[4] = {ones, ones, ones, ones}, b[2] = {ones, ones};
  cuda::mma_m16n8k16<__half>(sums, a, b);
  __syncwarp();
  for (int i = 0; i < 4 && threadIdx.x == 0; ++i) d[i] = sums[i];
}

// 16 times 1, of which none is left beside a number whose last bit is 2.
TEST_F(Emulator, AddsProductsAsTheOldestTensorCoresDo) {
  const DeviceArray<float> d(std::vector<float>{0.0f, 0x1p23f, 0x1p24f, -0x1p24f});
  launch({1, 32}, add_ones, d.data());
  EXPECT_EQ(d.values(), (std::vector<float>{16.0f, 0x1p23f + 16.0f, 0x1p24f, -0x1p24f}));
}

__global__ void dynamic(float* p) {
  DYN_SHARED(float, x);
  x[0] = 1.0f;
  p[0] = x[0];
}

// A kernel has its limit on each device, for the launches of all threads.
TEST_F(Emulator, RefusesToTakeSharedMemoryFromOtherLaunches) {
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(reinterpret_cast<const void*>(dynamic), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  const DeviceArray<float> p(1);
  check(allow(60 << 10));
  check(allow(80 << 10));
  launch({1, 1, 80 << 10}, dynamic, p.data());
  EXPECT_EQ(p.values()[0], 1.0f);
  EXPECT_TRUE(contains(report_of([&] { check(allow(60 << 10)); }), "is taken from launches of other threads"));
  check(cudaSetDevice(1));
  const DeviceArray<float> q(1);
  EXPECT_THROW(launch({1, 1, 80 << 10}, dynamic, q.data()), DeviceError);
  cudaGetLastError();
}

TEST_F(Emulator, RunsOutOfMemoryWhereTheTestSays) {
  cuemu::config().device_memory = 4096;
  std::size_t free = 0, total = 0;
  const DeviceArray<char> p(1000);
  check(cudaMemGetInfo(&free, &total));
  EXPECT_EQ(total, 4096u);
  EXPECT_EQ(free, 4096u - 1024u);
  EXPECT_THROW(DeviceArray<char>(3073), OutOfMemoryError);
  EXPECT_NO_THROW(DeviceArray<char>(3072));
  cuemu::config().allocations_left = 1;
  const DeviceArray<char> last(1);
  EXPECT_THROW(DeviceArray<char>(1), OutOfMemoryError);
  cudaGetLastError();
}

TEST_F(Emulator, HasSeveralDevices) {
  int n = 0;
  check(cudaGetDeviceCount(&n));
  EXPECT_EQ(n, 2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  cudaGetLastError();
  const DeviceArray<float> here(32);
  check(cudaSetDevice(1));
  const DeviceArray<float> there(32);
  const Stream stream;
  EXPECT_TRUE(contains(report_of([&] {
                         launch({1, 32, 0, stream}, fill, here.data());
                       }),
                       "points to memory of device 0, which device 1 cannot access"));
  launch({1, 32, 0, stream}, fill, there.data());
  check(cudaMemcpyPeerAsync(here.data(), 0, there.data(), 1, 128, stream));
  check(cudaStreamSynchronize(stream));
  check(cudaSetDevice(0));
  EXPECT_EQ(here.values()[31], 1.0f);
  EXPECT_THROW(launch({1, 32, 0, stream}, fill, here.data()), DeviceError);  // a stream of device 1
  cudaGetLastError();
  check(cudaSetDevice(1));
  check(cudaDeviceEnablePeerAccess(0, 0));
  launch({1, 32, 0, stream}, fill, here.data());
  check(cudaStreamSynchronize(stream));
  check(cudaDeviceDisablePeerAccess(0));
}

TEST_F(Emulator, RefusesAccessBetweenDevicesWhereTheTestSays) {
  int can = -1;
  check(cudaDeviceCanAccessPeer(&can, 0, 1));
  EXPECT_EQ(can, 1);
  cuemu::config().peer_access = false;
  check(cudaDeviceCanAccessPeer(&can, 0, 1));
  EXPECT_EQ(can, 0);
  EXPECT_EQ(cudaDeviceEnablePeerAccess(1, 0), cudaErrorInvalidDevice);
  cudaGetLastError();
}

TEST_F(Emulator, RefusesCopiesThatNameAnotherDeviceThanTheirMemorys) {
  const DeviceArray<float> a(32), b(32);
  EXPECT_EQ(cudaMemcpyPeerAsync(a.data(), 0, b.data(), 1, 128, nullptr), cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_F(Emulator, HasNone) {
  cuemu::config().n_device = 0;
  int n = -1;
  EXPECT_EQ(cudaGetDeviceCount(&n), cudaErrorNoDevice);
  cudaGetLastError();
  cuemu::config().n_device = 1;
}

__global__ void add_one(int* p) { p[threadIdx.x] += 1; }

TEST_F(Emulator, ServesSeveralHostThreads) {
  check(cudaFree(nullptr));  // makes the runtime's lock, before there are threads: TSan does not see how that is ordered
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      const Stream stream(cudaStreamNonBlocking);
      const DeviceArray<int> p(std::vector<int>(40, 7));
      for (int round = 0; round < 20; ++round) {
        launch({1, 40, 0, stream}, add_one, p.data());
        if (round % 3 == 0) check(cudaStreamSynchronize(stream));
      }
      EXPECT_EQ(p.values(), std::vector<int>(40, 27));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Emulator, TellsWhatWasNotReleased) {
  EXPECT_EQ(cuemu::leaks(), "");
  {
    const DeviceArray<float> p(3);
    const Stream stream;
    EXPECT_EQ(cuemu::leaks(), "1 allocation (12 bytes), 1 stream");
  }
  EXPECT_EQ(cuemu::leaks(), "");
}

}  // namespace
}  // namespace rwkv::test
