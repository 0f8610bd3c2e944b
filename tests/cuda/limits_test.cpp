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
  const std::int64_t before = device.available_memory();
  {
    const auto read = cuda::limit_reader(0);
    EXPECT_LT(device.available_memory(), before);
  }
  EXPECT_GE(device.available_memory(), before - (std::int64_t{1} << 20));  // what the runtime keeps
}

}  // namespace
}  // namespace rwkv::test
