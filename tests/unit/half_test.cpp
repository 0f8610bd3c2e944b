// SPDX-License-Identifier: Apache-2.0
// All values of the 16-bit types, and rounding against double arithmetic.
#include "kernels/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace rwkv {
namespace {

TEST(Half, EveryValueSurvivesTheWayThere) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const float f = f16_to_f32(h), b = bf16_to_f32(h);
    ASSERT_EQ(std::isnan(f), (i & 0x7fffu) > 0x7c00u) << i;
    ASSERT_EQ(std::isnan(b), (i & 0x7fffu) > 0x7f80u) << i;
    ASSERT_TRUE(std::isnan(f) ? std::isnan(f16_to_f32(f32_to_f16(f))) : f32_to_f16(f) == h) << i;
    ASSERT_TRUE(std::isnan(b) ? std::isnan(bf16_to_f32(f32_to_bf16(b))) : f32_to_bf16(b) == h) << i;
  }
}

TEST(Half, Fp16HasTheValuesOfItsDefinition) {
  for (std::uint32_t i = 0; i < 0x7c00u; ++i) {
    const int exponent = static_cast<int>(i >> 10), mantissa = static_cast<int>(i & 1023);
    const double value = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    ASSERT_EQ(f16_to_f32(static_cast<std::uint16_t>(i)), value) << i;
    ASSERT_EQ(f16_to_f32(static_cast<std::uint16_t>(i | 0x8000u)), -value) << i;
  }
}

// nearbyint rounds halves to even; the step is 2^-bits of the value's binade, but at least the smallest subnormal.
double rounded(double x, int bits, int smallest) {
  const double step = std::ldexp(1.0, std::max(std::ilogb(x) - bits, smallest));
  return std::nearbyint(x / step) * step;
}

TEST(Half, RoundsToNearestEven) {
  std::mt19937 rng(1);
  for (int i = 0; i < 1'000'000; ++i) {
    const auto ties = static_cast<std::uint32_t>(i % 3 == 0 ? 0xffffe000u : i % 3 == 1 ? 0xfffff000u : 0xffffffffu);
    const float f =
        std::bit_cast<float>((0x32000000u + static_cast<std::uint32_t>(rng()) % 0x15000000u) & ties);  // 7e-9 to 3e4
    ASSERT_EQ(f16_to_f32(f32_to_f16(f)), rounded(f, 10, -24)) << f;
    const float b = std::bit_cast<float>((0x00800000u + static_cast<std::uint32_t>(rng()) % 0x7e000000u) &
                                         (i % 2 ? 0xffff8000u : 0xffffffffu));
    ASSERT_EQ(bf16_to_f32(f32_to_bf16(b)), rounded(b, 7, -133)) << b;
  }
}

TEST(Half, OverflowIsInfiniteAndNanStaysNan) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(f16_to_f32(f32_to_f16(65504.0f)), 65504.0f);
  EXPECT_EQ(f16_to_f32(f32_to_f16(65519.0f)), 65504.0f);
  EXPECT_EQ(f16_to_f32(f32_to_f16(65520.0f)), kInfinity);
  EXPECT_EQ(f16_to_f32(f32_to_f16(-1e30f)), -kInfinity);
  EXPECT_EQ(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::max())), kInfinity);
  for (const std::uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0x7fc00000u}) {
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(std::bit_cast<float>(bits))))) << bits;
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(bits))))) << bits;
  }
}

}  // namespace
}  // namespace rwkv
