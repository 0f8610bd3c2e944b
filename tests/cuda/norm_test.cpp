// SPDX-License-Identifier: Apache-2.0
// The norms of CUDA against double-precision loops.
#include "kernels/cuda/norm.h"

#include "cuda/device_array.h"
#include "kernels/half.h"
#include "kernels/plain_norm.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

// layer_norm of x, rows of n, into an array that holds NaN, or over x itself.
std::vector<float> layer_norm(const std::vector<float>& x, std::int64_t n, const std::vector<float>& weight,
                              const std::vector<float>& bias, bool in_place = false) {
  const auto n_row = static_cast<std::int64_t>(x.size()) / n;
  const DeviceArray<float> in(x), w(weight), b(bias), out(nans(n_row * n));
  const DeviceArray<float>& result = in_place ? in : out;
  cuda::layer_norm(nullptr, {{in.data(), n_row, n}, w.data(), b.data(), 1e-5f, {result.data(), n_row, n}});
  return result.values();
}

TEST(CudaNorm, LayerNormEqualsPlainLoops) {
  for (const std::int64_t n : {1, 2, 7, 31, 32, 33, 130, 255, 256, 257, 769}) {
    const auto x = floats(5 * n, 1, 3.0f, 0.5f), weight = floats(n, 2, 0.5f, 1.0f), bias = floats(n, 3);
    const auto expected = plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f);
    ASSERT_NO_FATAL_FAILURE(expect_near(layer_norm(x, n, weight, bias), expected, kNormAbsolute, kNormRelative)) << n;
  }
}

TEST(CudaNorm, LayerNormOfOneRowPerAllocation) {
  const auto x = floats(257, 4), weight = floats(257, 5), bias = floats(257, 6);
  expect_near(layer_norm(x, 257, weight, bias), plain_norm(doubles(x), 257, 1, weight.data(), bias.data(), 1e-5f),
              kNormAbsolute, kNormRelative);
}

TEST(CudaNorm, LayerNormMayWriteOverItsInput) {
  const auto x = floats(3 * 300, 7), weight = floats(300, 8), bias = floats(300, 9);
  expect_near(layer_norm(x, 300, weight, bias, true), plain_norm(doubles(x), 300, 1, weight.data(), bias.data(), 1e-5f),
              kNormAbsolute, kNormRelative);
}

TEST(CudaNorm, LayerNormOfChosenRows) {
  const std::int64_t n = 37;
  const auto x = floats(5 * n, 16), weight = floats(n, 17), bias = floats(n, 18);
  const std::vector<std::int32_t> which{3, 0, 3, 4};
  const DeviceArray<float> in(x), w(weight), b(bias), out(nans(4 * n));
  const DeviceArray<std::int32_t> rows(which);
  cuda::layer_norm(nullptr, {{in.data(), 5, n}, w.data(), b.data(), 1e-5f, {out.data(), 4, n}, rows.data()});
  expect_near(out.values(), chosen(plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f), n, which), kNormAbsolute,
              kNormRelative);
}

// The mean itself is rounded to 1000 * 2^-24 = 6e-5 of the standard deviation; sum of squares minus square of the mean would
// lose 1000^2 * 2^-24 = 0.06.
TEST(CudaNorm, LayerNormLosesLittleToALargeMean) {
  const auto x = floats(4 * 100, 10, 1.0f, 1000.0f), weight = floats(100, 11), bias = floats(100, 12);
  expect_near(layer_norm(x, 100, weight, bias), plain_norm(doubles(x), 100, 1, weight.data(), bias.data(), 1e-5f), 1e-3, 0);
}

TEST(CudaNorm, NanInARowComesOutOfThatRowOnly) {
  auto x = floats(3 * 19, 13);
  x[19 + 18] = kNan;
  const auto out = layer_norm(x, 19, floats(19, 14), floats(19, 15));
  for (int i = 0; i < 57; ++i) EXPECT_EQ(std::isnan(out[i]), i / 19 == 1) << i;
}

// head_norm of x with gate (empty: none), in place or not.
std::vector<float> head_norm(const std::vector<float>& x, std::int64_t n_head, std::int64_t n, const std::vector<float>& weight,
                             const std::vector<float>& bias, const std::vector<float>& gate, bool in_place = false) {
  const std::int64_t att = n_head * n, n_row = static_cast<std::int64_t>(x.size()) / att;
  const DeviceArray<float> in(x), w(weight), b(bias), out(nans(n_row * att)), g(gate.empty() ? nans(1) : gate);
  const DeviceArray<float>& result = in_place ? in : out;
  cuda::head_norm(nullptr, {{in.data(), n_row, att},
                            n_head,
                            w.data(),
                            b.data(),
                            64e-5f,
                            gate.empty() ? nullptr : g.data(),
                            {result.data(), n_row, att}});
  return result.values();
}

TEST(CudaNorm, HeadNormEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 8, 20, 33, 64, 100}) {
    for (const bool gated : {false, true}) {
      const std::int64_t n_head = 3, att = n_head * size;
      const auto x = floats(5 * att, 15, 0.3f), weight = floats(att, 16), bias = floats(att, 17), gate = floats(5 * att, 18);
      const auto out = head_norm(x, n_head, size, weight, bias, gated ? gate : std::vector<float>());
      const auto expected =
          plain_norm(doubles(x), size, n_head, weight.data(), bias.data(), 64e-5f, gated ? gate.data() : nullptr);
      ASSERT_NO_FATAL_FAILURE(expect_near(out, expected, kNormAbsolute, kNormRelative)) << size;
    }
  }
}

TEST(CudaNorm, HeadNormMayWriteOverItsInput) {
  const auto x = floats(2 * 80, 19), weight = floats(80, 20), bias = floats(80, 21), gate = floats(160, 22);
  const auto expected = plain_norm(doubles(x), 40, 2, weight.data(), bias.data(), 64e-5f, gate.data());
  expect_near(head_norm(x, 2, 40, weight, bias, gate, true), expected, kNormAbsolute, kNormRelative);
}

TEST(CudaNorm, EmbedNormalisesTheTokensRowsOfATableOfAnyType) {
  const std::vector<std::int32_t> tokens{50, 0, 7, 7, 49};
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t n : {1, 12, 33, 259}) {
      const auto stored = floats(51 * n, 23), weight = floats(n, 24), bias = floats(n, 25);
      std::vector<std::uint16_t> half;
      std::vector<double> x;
      for (const float f : stored) half.push_back(type == DType::f16 ? f32_to_f16(f) : f32_to_bf16(f));
      for (const std::int32_t token : tokens) {
        for (std::int64_t i = token * n; i < (token + 1) * n; ++i) {
          x.push_back(type == DType::f32 ? stored[i] : type == DType::f16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]));
        }
      }
      const DeviceArray<float> table32(stored), w(weight), b(bias), out(nans(5 * n));
      const DeviceArray<std::uint16_t> table16(half);
      const DeviceArray<std::int32_t> rows_wanted(tokens);
      const void* const table = type == DType::f32 ? static_cast<const void*>(table32.data()) : table16.data();
      cuda::embed(nullptr, {rows_wanted.data(), {type, 51, n, table}, w.data(), b.data(), 1e-5f, {out.data(), 5, n}});
      ASSERT_NO_FATAL_FAILURE(
          expect_near(out.values(), plain_norm(x, n, 1, weight.data(), bias.data(), 1e-5f), kNormAbsolute, kNormRelative));
    }
  }
}

}  // namespace
}  // namespace rwkv::test
