// SPDX-License-Identifier: Apache-2.0
// 4-bit weights against plain loops over the rule of kernels/i4.h, on every instruction set of this machine.
#include "weights/i4.h"

#include <algorithm>

#include "kernels/half.h"
#include "kernels/i4.h"
#include "kernels/kernel_testing.h"

namespace rwkv::test {
namespace {

struct Quantized {
  std::vector<std::uint8_t> q;
  std::vector<std::uint16_t> scale;
  std::vector<float> value;
};

Quantized quantized(const std::vector<float>& w) {
  const std::int64_t n = std::ssize(w);
  Quantized out{std::vector<std::uint8_t>(i4_bytes(n)), std::vector<std::uint16_t>(i4_scales(n)), nans(n)};
  quantize_i4(w, out.q.data(), out.scale.data());
  dequantize_i4(out.q.data(), out.scale.data(), out.value);
  return out;
}

double squared_error(const float* a, const float* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
  return sum;
}

// The widespread rule: the number of the largest size becomes -8, the others are rounded to -8 .. 7 of its eighths.
double error_of_rounding_to_nearest(const float* w) {
  const float most = *std::max_element(w, w + kI4Group, [](float a, float b) { return std::abs(a) < std::abs(b); });
  float rounded[kI4Group];
  for (std::int64_t i = 0; i < kI4Group; ++i) {
    rounded[i] = most / -8 * static_cast<float>(std::clamp<long>(std::lround(w[i] / (most / -8)), -8, 7));
  }
  return squared_error(w, rounded, kI4Group);
}

using I4 = EveryInstructionSet;

TEST_P(I4, EveryNumberGetsTheNearestCode) {
  const auto w = floats(50 * kI4Group, 1, 0.02f);
  const Quantized found = quantized(w);
  for (std::int64_t i = 0; i < std::ssize(w); ++i) {
    const float scale = bf16_to_f32(found.scale[i / kI4Group]);
    float nearest = std::numeric_limits<float>::infinity();
    for (const int code : kI4Code) nearest = std::min(nearest, std::abs(w[i] - scale * static_cast<float>(code - kI4Zero)));
    // Half way between two codes either is right, within the rounding of w / scale.
    ASSERT_LE(std::abs(w[i] - found.value[i]), nearest + 1e-6f * std::abs(scale) * 127) << i;
  }
}

// 21 % less for normal numbers, 15 % for those with long tails: means of many groups, so 5 % are far beyond chance.
TEST_P(I4, TheSquareErrorIsClearlyBelowThatOfRoundingToNearest) {
  std::mt19937 rng(2);
  std::student_t_distribution<float> tails(6);
  auto normal = floats(2000 * kI4Group, 3), with_tails = normal;
  for (float& x : with_tails) x = tails(rng);
  for (const auto& [w, share] : {std::pair(normal, 0.84), std::pair(with_tails, 0.84)}) {
    const Quantized found = quantized(w);
    double ours = 0, theirs = 0;
    for (std::int64_t i = 0; i < std::ssize(w); i += kI4Group) {
      ours += squared_error(&w[i], &found.value[i], kI4Group);
      theirs += error_of_rounding_to_nearest(&w[i]);
    }
    EXPECT_LT(ours, share * theirs);
  }
}

TEST_P(I4, ExtremeGroupsKeepTheirSize) {
  for (const float size : {3e38f, 1e30f, 1e-30f}) {
    auto w = floats(kI4Group, 4, 0.3f);
    for (float& x : w) x = std::clamp(x, -1.0f, 1.0f) * size;
    const Quantized found = quantized(w);
    double squares = 0;
    for (const float x : w) squares += double(x) * x;
    EXPECT_LT(std::sqrt(squared_error(w.data(), found.value.data(), kI4Group) / squares), 0.15) << size;
  }
}

TEST_P(I4, ZerosStayZerosAndConstantsConstant) {
  for (const float x : {0.0f, -0.0f, 0.75f, -3.0f}) {
    const Quantized found = quantized(std::vector<float>(kI4Group, x));
    for (const float value : found.value) EXPECT_NEAR(value, x, 0.004 * std::abs(x));  // bfloat16
  }
}

TEST_P(I4, NanAndInfinityShowInTheirGroupOnly) {
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    auto w = floats(3 * kI4Group, 5);
    w[kI4Group + 7] = bad;
    const Quantized found = quantized(w);
    for (std::int64_t i = 0; i < std::ssize(w); ++i) ASSERT_EQ(std::isnan(found.value[i]), i / kI4Group == 1) << i;
  }
}

RWKV_EVERY_INSTRUCTION_SET(I4);

TEST(I4Layout, TransposesNibbles) {
  for (const auto& [n, n_in] : {std::pair(32, 32), std::pair(64, 32), std::pair(96, 160)}) {
    std::vector<std::uint8_t> q(n * n_in / 2), out(q.size());
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = static_cast<std::uint8_t>(i * 89 + i / 7);
    transpose_i4(q.data(), n, n_in, out.data());
    const auto nibble = [](const std::vector<std::uint8_t>& at, int i) {
      const int byte = at[i / 32 * 16 + i % 16];
      return i % 32 < 16 ? byte & 15 : byte >> 4;
    };
    for (int m = 0; m < n; ++m) {
      for (int i = 0; i < n_in; ++i) ASSERT_EQ(nibble(out, i * n + m), nibble(q, m * n_in + i));
    }
  }
}

}  // namespace
}  // namespace rwkv::test
