// SPDX-License-Identifier: Apache-2.0
// That the probes compute what they say and nothing illegal; how fast is not tested.
#include "bench/limits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace rwkv::bench {
namespace {

TEST(Probe, ReadAllReadsEveryValueOnce) {
  for (const std::size_t n : {0, 1, 15, 127, 128, 129, 1000}) {
    std::vector<float> values(n);
    float sum = 0;  // small integers: exact in any order
    for (std::size_t i = 0; i < n; ++i) sum += values[i] = static_cast<float>(i % 5);
    EXPECT_EQ(read_all(values), sum) << n;
  }
}

TEST(Limits, ArePositiveForEveryTypeAndNumberOfThreads) {
  for (const Arithmetic arithmetic : {Arithmetic::fp32, Arithmetic::bf16}) {
    for (const int threads : {1, 3}) {
      LimitMeter meter(threads, arithmetic);
      const Limits limits = meter.read();
      EXPECT_TRUE(std::isfinite(limits.bytes_per_second) && limits.bytes_per_second > 0);
      EXPECT_TRUE(std::isfinite(limits.flops_per_second) && limits.flops_per_second > 0);
    }
  }
}

}  // namespace
}  // namespace rwkv::bench
