// SPDX-License-Identifier: Apache-2.0
// Two devices: copies from one to the other, events between their streams, access to each other's memory. With one they are
// skipped.
#include <memory>

#include "cuemu/conformance/objects.h"

namespace rwkv::test {
namespace {

__global__ void count_up(int* p, int n) { p[threadIdx.x] += n; }
__global__ void take_from(const int* from, int* to) { to[threadIdx.x] = from[threadIdx.x]; }

class Peers : public testing::Test {
 protected:
  void SetUp() override {
    int n_device = 0;
    check(cudaGetDeviceCount(&n_device));
    if (n_device < 2) GTEST_SKIP() << "skipped: there is one device";
  }
  void TearDown() override { check(cudaSetDevice(0)); }

  // Makes an object while the device is the current one; afterwards that is 0.
  template <class T, class... Arguments>
  static std::unique_ptr<T> on(int device, Arguments&&... arguments) {
    check(cudaSetDevice(device));
    auto made = std::make_unique<T>(std::forward<Arguments>(arguments)...);
    check(cudaSetDevice(0));
    return made;
  }
};

TEST_F(Peers, EventsOrderACopyAndTheKernelsOfBothDevices) {
  const auto first = on<Stream>(0, cudaStreamNonBlocking), second = on<Stream>(1, cudaStreamNonBlocking);
  const auto read = on<Event>(1), copied = on<Event>(0);
  const auto p = on<DeviceArray<int>>(0, std::vector<int>(32, 0));
  const auto q = on<DeviceArray<int>>(1, std::vector<int>(32, 100)), r = on<DeviceArray<int>>(1, 32);
  launch({1, 32, 0, *first}, count_up, p->data(), 7);
  check(cudaSetDevice(1));
  launch({1, 32, 0, *second}, take_from, q->data(), r->data());
  check(cudaEventRecord(*read, *second));
  check(cudaStreamWaitEvent(*first, *read, 0));
  check(cudaMemcpyPeerAsync(q->data(), 1, p->data(), 0, 128, *first));
  check(cudaEventRecord(*copied, *first));
  check(cudaStreamWaitEvent(*second, *copied, 0));
  launch({1, 32, 0, *second}, count_up, q->data(), 1);
  check(cudaSetDevice(0));
  launch({1, 32, 0, *first}, count_up, p->data(), 1000);
  check(cudaSetDevice(1));
  check(cudaStreamSynchronize(*second));
  EXPECT_EQ(r->values(), std::vector<int>(32, 100));
  EXPECT_EQ(q->values(), std::vector<int>(32, 8));
}

TEST_F(Peers, AnEventIsRecordedOnItsOwnDeviceAndWaitedForOnAny) {
  const auto here = on<Stream>(0), there = on<Stream>(1);
  const auto event = on<Event>(0);
  EXPECT_EQ(cudaEventRecord(*event, *there), cudaErrorInvalidResourceHandle);
  static_cast<void>(cudaGetLastError());
  check(cudaSetDevice(1));  // the current one does not matter
  check(cudaEventRecord(*event, *here));
  check(cudaStreamWaitEvent(*there, *event, 0));
  check(cudaEventSynchronize(*event));
  check(cudaStreamSynchronize(*there));
}

TEST_F(Peers, CopiesGoByTheStreamOfEitherDevice) {
  const auto p = on<DeviceArray<int>>(0, std::vector<int>(32, 5)), q = on<DeviceArray<int>>(1, 32);
  for (const int device : {0, 1}) {
    const auto stream = on<Stream>(device);
    check(cudaMemcpyPeerAsync(q->data(), 1, p->data(), 0, 128, *stream));
    check(cudaMemcpyPeerAsync(p->data(), 0, q->data(), 1, 64, *stream));
    check(cudaStreamSynchronize(*stream));
    EXPECT_EQ(q->values(), std::vector<int>(32, 5));
  }
  EXPECT_EQ(cudaMemcpyPeerAsync(q->data(), 1000, p->data(), 0, 128, nullptr), cudaErrorInvalidDevice);
  static_cast<void>(cudaGetLastError());
}

TEST_F(Peers, AccessIsAskedForOnceAndInOneDirection) {
  int self = -1, can = -1;
  check(cudaDeviceCanAccessPeer(&self, 0, 0));
  EXPECT_EQ(self, 0);
  EXPECT_EQ(cudaDeviceCanAccessPeer(&can, 0, 1000), cudaErrorInvalidDevice);
  static_cast<void>(cudaGetLastError());
  check(cudaDeviceCanAccessPeer(&can, 0, 1));
  if (!can) {
    EXPECT_EQ(cudaDeviceEnablePeerAccess(1, 0), cudaErrorInvalidDevice);
    static_cast<void>(cudaGetLastError());
    GTEST_SKIP() << "skipped: device 0 cannot access the memory of device 1";
  }
  const bool before = cudaDeviceDisablePeerAccess(1) == cudaSuccess;
  static_cast<void>(cudaGetLastError());
  EXPECT_EQ(cudaDeviceEnablePeerAccess(1, 1), cudaErrorInvalidValue);
  check(cudaDeviceEnablePeerAccess(1, 0));
  EXPECT_EQ(cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessAlreadyEnabled);
  static_cast<void>(cudaGetLastError());
  const auto here = on<DeviceArray<int>>(0, 32), there = on<DeviceArray<int>>(1, std::vector<int>(32, 9));
  launch({1, 32}, take_from, there->data(), here->data());
  EXPECT_EQ(here->values(), std::vector<int>(32, 9));
  check(cudaSetDevice(1));
  EXPECT_EQ(cudaDeviceDisablePeerAccess(0), cudaErrorPeerAccessNotEnabled);  // the other direction
  check(cudaSetDevice(0));
  check(cudaDeviceDisablePeerAccess(1));
  EXPECT_EQ(cudaDeviceDisablePeerAccess(1), cudaErrorPeerAccessNotEnabled);
  static_cast<void>(cudaGetLastError());
  if (before) check(cudaDeviceEnablePeerAccess(1, 0));
}

}  // namespace
}  // namespace rwkv::test
