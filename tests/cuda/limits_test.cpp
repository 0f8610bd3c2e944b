// SPDX-License-Identifier: Apache-2.0
// What rwkv-bench compares speeds with. How fast a device is is not tested.
#include "kernels/cuda/limits.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cuda/device.h"

namespace rwkv::test {
namespace {

TEST(CudaLimits, ArePositiveAtEveryCall) {
  const auto read = cuda::limit_reader(0);
  const DeviceLimits first = read(), second = read();
  for (const DeviceLimits& limits : {first, second}) {
    EXPECT_TRUE(std::isfinite(limits.bytes_per_second) && limits.bytes_per_second > 0) << limits.bytes_per_second;
    EXPECT_TRUE(std::isfinite(limits.flops_per_second) && limits.flops_per_second > 0) << limits.flops_per_second;
  }
}

TEST(CudaLimits, GiveTheirMemoryBack) {
  const cuda::CudaDevice device(0, 1);
  static_cast<void>(cuda::limit_reader(0)());  // code of kernels, once loaded, stays
  const std::int64_t before = device.available_memory();
  std::int64_t taken = 0;
  {
    const auto read = cuda::limit_reader(0);
    taken = before - device.available_memory();
    EXPECT_GT(taken, 0);
  }
  EXPECT_LE(before - device.available_memory(), taken / 8);  // drivers and cuBLAS keep some
}

}  // namespace
}  // namespace rwkv::test
