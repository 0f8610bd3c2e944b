// SPDX-License-Identifier: Apache-2.0
// Kernels of any device under test: seeded inputs, outputs that hold NaN until they are written, comparison.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/tensor.h"

namespace rwkv::test {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr double kUlp = 0x1p-24;  // half a unit in the last place of a float32 near 1

inline std::vector<float> floats(std::int64_t n, std::uint32_t seed, float scale = 1.0f, float mean = 0.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> values(n);
  for (float& x : values) x = normal(rng);
  return values;
}

inline std::vector<float> nans(std::int64_t n) { return std::vector<float>(n, kNan); }

inline Rows rows(const std::vector<float>& values, std::int64_t n_col) {
  return {const_cast<float*>(values.data()), static_cast<std::int64_t>(values.size()) / n_col, n_col};
}

// Fails for what was never written: NaN is near to nothing.
inline void expect_near(const std::vector<float>& found, const std::vector<double>& expected, double absolute,
                        double relative) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], absolute + relative * std::abs(expected[i])) << "element " << i;
  }
}

inline std::vector<double> doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

}  // namespace rwkv::test
