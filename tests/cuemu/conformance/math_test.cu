// SPDX-License-Identifier: Apache-2.0
// Integer, float and 16-bit functions against their definitions.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "cuemu/conformance/conformance.h"
#include "kernels/cuda/ptx.h"
#include "kernels/half.h"

namespace rwkv::test {
namespace {

__global__ void integers(unsigned* out) {
  const unsigned a = 0x12345678u, b = 0x9abcdef0u;
  out[0] = static_cast<unsigned>(__dp4a(static_cast<int>(0x80ff7f01u), static_cast<int>(0x02030405u), 1000));
  out[1] = __dp4a(0x80ff7f01u, 0x02030405u, 1000u);
  out[2] = __byte_perm(a, b, 0x7531);
  out[3] = __byte_perm(a, b, 0xfb40);  // the top bits of nibbles are not looked at
  out[4] = __funnelshift_l(a, b, 12);
  out[5] = __funnelshift_r(a, b, 12);
  out[6] = static_cast<unsigned>(__clz(0x00010000)) + 100u * static_cast<unsigned>(__clz(0));
  out[7] = static_cast<unsigned>(__ffs(0x00f0)) + 100u * static_cast<unsigned>(__ffs(0));
  out[8] = static_cast<unsigned>(__popc(a));
  out[9] = __brev(1u << 3);
  out[10] = __umulhi(a, b);
  out[11] = static_cast<unsigned>(__mulhi(static_cast<int>(a), static_cast<int>(b)));
  out[12] = static_cast<unsigned>(min(-3, 2) + max(-3, 2));
  out[13] = __float_as_uint(__int_as_float(0x7fc00000));
  out[14] = cuda::permute_bytes(a, b, 0xabcd7340u);
  out[15] = static_cast<unsigned>(__umul64hi(0x123456789abcdef0ull, 0xfedcba9876543210ull) >> 32);
}

TEST(Math, Integers) {
  const auto out = run(integers, 16, 1);
  const std::int64_t product = std::int64_t{0x12345678} * static_cast<std::int32_t>(0x9abcdef0);
  const unsigned expected[] = {static_cast<unsigned>(-128 * 2 + -1 * 3 + 127 * 4 + 1 * 5 + 1000),
                               128 * 2 + 255 * 3 + 127 * 4 + 1 * 5 + 1000,
                               0x9ade1256u,
                               0x9a12f078u,
                               0xcdef0123u,
                               0xef012345u,
                               15 + 3200,
                               5,
                               13,
                               1u << 28,
                               static_cast<unsigned>(0x12345678ull * 0x9abcdef0ull >> 32),
                               static_cast<unsigned>(product >> 32),
                               static_cast<unsigned>(-1),
                               0x7fc00000u,
                               0x9a12f078u,
                               0x121fa00au};
  for (int i = 0; i < 16; ++i) EXPECT_EQ(out[i], expected[i]) << i;
}

// Beyond the range of int and unsigned: the nearest; NaN: 0. Halves: to even.
__global__ void conversions(int* out) {
  const float values[] = {0.5f, 1.5f, -2.5f, 3e9f, -3e9f, 5e9f, __int_as_float(0x7fc00000)};
  for (int i = 0; i < 7; ++i) {
    out[6 * i] = __float2int_rn(values[i]);
    out[6 * i + 1] = __float2int_rz(values[i]);
    out[6 * i + 2] = __float2int_rd(values[i]);
    out[6 * i + 3] = __float2int_ru(values[i]);
    out[6 * i + 4] = static_cast<int>(__float2uint_rn(values[i]));
    out[6 * i + 5] = static_cast<int>(__float2uint_rz(values[i]));
  }
}

TEST(Math, FloatsToIntegers) {
  const auto out = run(conversions, 42, 1);
  constexpr int kMax = std::numeric_limits<int>::max(), kMin = std::numeric_limits<int>::min();
  const int k3e9 = static_cast<int>(3000000000u);
  const int expected[7][6] = {{0, 0, 0, 1, 0, 0},
                              {2, 1, 1, 2, 2, 1},
                              {-2, -2, -3, -2, 0, 0},
                              {kMax, kMax, kMax, kMax, k3e9, k3e9},
                              {kMin, kMin, kMin, kMin, 0, 0},
                              {kMax, kMax, kMax, kMax, -1, -1},
                              {0, 0, 0, 0, 0, 0}};
  for (int i = 0; i < 7; ++i) {
    for (int j = 0; j < 6; ++j) EXPECT_EQ(out[6 * i + j], expected[i][j]) << "value " << i << ", conversion " << j;
  }
}

__global__ void floats_of(float* out) {
  const float x = __fmul_rn(0.1f, static_cast<float>(1 + threadIdx.x));  // not to become part of a multiply-add
  float* const mine = out + 10 * threadIdx.x;
  mine[0] = __expf(-x);
  mine[1] = __logf(x);
  mine[2] = rsqrtf(x);
  mine[3] = __fdividef(1.0f, x);
  mine[4] = __powf(x, 1.5f);
  mine[5] = __saturatef(x - 1.0f);
  mine[6] = __frcp_rn(x);
  mine[7] = __fsqrt_rn(x);
  mine[8] = __fmaf_rn(x, x, -x);
  mine[9] = tanhf(x);
}

// The guide's largest errors of the fast functions for such x: 2 + 1.17 x ulp for __expf, 2^-21.4 for __logf near 1.
TEST(Math, Floats) {
  const auto out = run(floats_of, 320, 32);
  for (int i = 0; i < 32; ++i) {
    const float f = 0.1f * static_cast<float>(1 + i);
    const double x = f;
    const double expected[] = {std::exp(-x), std::log(x), 1 / std::sqrt(x), 1 / x, std::pow(x, 1.5)};
    for (int j = 0; j < 5; ++j) EXPECT_NEAR(out[10 * i + j], expected[j], 2e-6 * (1 + std::abs(expected[j]))) << i << ' ' << j;
    EXPECT_EQ(out[10 * i + 5], f <= 1.0f ? 0.0f : f >= 2.0f ? 1.0f : f - 1.0f);
    EXPECT_EQ(out[10 * i + 6], 1.0f / f);
    EXPECT_EQ(out[10 * i + 7], std::sqrt(f));
    EXPECT_EQ(out[10 * i + 8], std::fma(f, f, -f));
    EXPECT_NEAR(out[10 * i + 9], std::tanh(x), 2e-7);
  }
}

// Every 16-bit number through the conversions, as bits; kernels/half.h is another implementation, tested against files.
__global__ void round_trips(std::uint16_t* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const auto bits = static_cast<std::uint16_t>(i);
  out[i] = __half_as_ushort(__float2half(__half2float(__ushort_as_half(bits))));
  out[65536 + i] = __bfloat16_as_ushort(__float2bfloat16(__bfloat162float(__ushort_as_bfloat16(bits))));
  // 1 + 2^-11 i: halfway cases of half and more.
  const float x = (1.0f + static_cast<float>(i) * 0x1p-16f) * (i % 2 ? -1.0f : 1e-5f);
  out[2 * 65536 + i] = __half_as_ushort(__float2half(x));
  out[3 * 65536 + i] = __bfloat16_as_ushort(__float2bfloat16(x));
}

TEST(Math, SixteenBitConversionsRoundToEven) {
  const auto out = run(round_trips, 4 * 65536, 256, 256);
  for (unsigned i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float x = (1.0f + static_cast<float>(i) * 0x1p-16f) * (i % 2 ? -1.0f : 1e-5f);
    if (!std::isnan(f16_to_f32(bits))) {
      ASSERT_EQ(out[i], bits);
    }
    if (!std::isnan(bf16_to_f32(bits))) {
      ASSERT_EQ(out[65536 + i], bits);
    }
    ASSERT_EQ(out[2 * 65536 + i], f32_to_f16(x)) << x;
    ASSERT_EQ(out[3 * 65536 + i], f32_to_bf16(x)) << x;
  }
}

__global__ void half_arithmetic(float* out) {
  const __half a = __float2half(1.5f), b = __float2half(0.33325195f), c = __float2half(-0.5f);
  out[0] = __half2float(__hfma(a, b, c));
  out[1] = __half2float(__hadd(a, b));
  out[2] = __half2float(__hmul(a, b));
  out[3] = __half2float(hexp(c));
  out[4] = __half2float(hrsqrt(a));
  const __half2 pair = __hfma2(__halves2half2(a, b), __halves2half2(b, a), __halves2half2(c, c));
  out[5] = __low2float(pair) - __high2float(pair);
  out[6] = static_cast<float>(__half2int_rn(__float2half(2.5f)));
  // One rounding: 1 + 2^-10 squared is 1 + 2^-9 + 2^-20, minus 1 + 2^-9 leaves 2^-20.
  out[7] = __half2float(__hfma(__float2half(1.0009766f), __float2half(1.0009766f), __float2half(-1.0019531f)));
}

TEST(Math, HalfArithmeticRoundsOnce) {
  const auto out = run(half_arithmetic, 8, 1);
  const float a = 1.5f, b = f16_to_f32(f32_to_f16(0.33325195f)), c = -0.5f;
  const auto rounded = [](double x) { return f16_to_f32(f32_to_f16(static_cast<float>(x))); };
  EXPECT_EQ(out[0], rounded(a * b + c));
  EXPECT_EQ(out[1], rounded(a + b));
  EXPECT_EQ(out[2], rounded(a * b));
  EXPECT_NEAR(out[3], std::exp(-0.5), 0x1p-11);
  EXPECT_NEAR(out[4], 1 / std::sqrt(1.5), 0x1p-11);
  EXPECT_EQ(out[5], 0.0f);
  EXPECT_EQ(out[6], 2.0f);
  EXPECT_EQ(out[7], 0x1p-20f);
}

}  // namespace
}  // namespace rwkv::test
