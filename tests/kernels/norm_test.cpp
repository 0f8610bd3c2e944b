// SPDX-License-Identifier: Apache-2.0
// Embedding, layer norm and head norm against double-precision loops.
#include "kernels/half.h"
#include "kernels/kernel_testing.h"
#include "kernels/plain_norm.h"

namespace rwkv::test {
namespace {

using NormKernel = EveryInstructionSet;

TEST_P(NormKernel, LayerNormEqualsPlainLoops) {
  for (const std::int64_t n : {1, 2, 7, 15, 16, 17, 40, 130, 769}) {
    const auto x = floats(5 * n, 1, 3.0f, 0.5f), weight = floats(n, 2, 0.5f, 1.0f), bias = floats(n, 3), out = nans(5 * n);
    table.common.layer_norm(device, {rows(x, n), weight.data(), bias.data(), 1e-5f, rows(out, n)});
    ASSERT_NO_FATAL_FAILURE(
        expect_near(out, plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f), kNormAbsolute, kNormRelative));
  }
}

TEST_P(NormKernel, LayerNormOfMoreRowsThanOneTaskTakes) {
  const std::int64_t n = 769;
  const auto x = floats(45 * n, 26, 3.0f, 0.5f), weight = floats(n, 27), bias = floats(n, 28), out = nans(45 * n);
  table.common.layer_norm(device, {rows(x, n), weight.data(), bias.data(), 1e-5f, rows(out, n)});
  expect_near(out, plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f), kNormAbsolute, kNormRelative);
}

TEST_P(NormKernel, LayerNormMayWriteOverItsInput) {
  auto x = floats(3 * 37, 4);
  const auto weight = floats(37, 5), bias = floats(37, 6);
  const auto expected = plain_norm(doubles(x), 37, 1, weight.data(), bias.data(), 1e-5f);
  table.common.layer_norm(device, {rows(x, 37), weight.data(), bias.data(), 1e-5f, rows(x, 37)});
  expect_near(x, expected, kNormAbsolute, kNormRelative);
}

TEST_P(NormKernel, LayerNormOfChosenRows) {
  const std::int64_t n = 37;
  const auto x = floats(5 * n, 29), weight = floats(n, 30), bias = floats(n, 31), out = nans(4 * n);
  const std::vector<std::int32_t> which{3, 0, 3, 4};
  table.common.layer_norm(device, {rows(x, n), weight.data(), bias.data(), 1e-5f, rows(out, n), which.data()});
  expect_near(out, chosen(plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f), n, which), kNormAbsolute,
              kNormRelative);
}

// The mean itself is rounded to 1000 * 2^-24 = 6e-5 of the standard deviation; sum of squares minus square of the mean would
// lose 1000^2 * 2^-24 = 0.06.
TEST_P(NormKernel, LayerNormLosesLittleToALargeMean) {
  const auto x = floats(4 * 100, 7, 1.0f, 1000.0f), weight = floats(100, 8), bias = floats(100, 9), out = nans(400);
  table.common.layer_norm(device, {rows(x, 100), weight.data(), bias.data(), 1e-5f, rows(out, 100)});
  expect_near(out, plain_norm(doubles(x), 100, 1, weight.data(), bias.data(), 1e-5f), 1e-3, 0);
}

TEST_P(NormKernel, LayerNormOfAConstantRowIsTheBias) {
  const std::vector<float> x(2 * 24, 3.0f), out = nans(2 * 24);
  const auto weight = floats(24, 10), bias = floats(24, 11);
  table.common.layer_norm(device, {rows(x, 24), weight.data(), bias.data(), 1e-5f, rows(out, 24)});
  for (int i = 0; i < 48; ++i) EXPECT_EQ(out[i], bias[i % 24]) << i;
}

TEST_P(NormKernel, NanInARowComesOutOfThatRowOnly) {
  auto x = floats(3 * 19, 12);
  x[19 + 18] = kNan;
  const auto weight = floats(19, 13), bias = floats(19, 14);
  const std::vector<float> out(3 * 19, 1.0f);
  table.common.layer_norm(device, {rows(x, 19), weight.data(), bias.data(), 1e-5f, rows(out, 19)});
  for (int i = 0; i < 57; ++i) EXPECT_EQ(std::isnan(out[i]), i / 19 == 1) << i;
}

TEST_P(NormKernel, HeadNormEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 8, 20, 64}) {
    for (const bool gated : {false, true}) {
      const std::int64_t n_head = 3, att = n_head * size;
      const auto x = floats(4 * att, 15, 0.3f), weight = floats(att, 16), bias = floats(att, 17), gate = floats(4 * att, 18);
      const auto out = nans(4 * att);
      const float* const g = gated ? gate.data() : nullptr;
      table.common.head_norm(device, {rows(x, att), n_head, weight.data(), bias.data(), 64e-5f, g, rows(out, att)});
      const auto expected = plain_norm(doubles(x), size, n_head, weight.data(), bias.data(), 64e-5f, g);
      ASSERT_NO_FATAL_FAILURE(expect_near(out, expected, kNormAbsolute, kNormRelative)) << size;
    }
  }
}

TEST_P(NormKernel, HeadNormMayWriteOverItsInput) {
  auto x = floats(2 * 40, 19);
  const auto weight = floats(40, 20), bias = floats(40, 21), gate = floats(80, 22);
  const auto expected = plain_norm(doubles(x), 20, 2, weight.data(), bias.data(), 1e-5f, gate.data());
  table.common.head_norm(device, {rows(x, 40), 2, weight.data(), bias.data(), 1e-5f, gate.data(), rows(x, 40)});
  expect_near(x, expected, kNormAbsolute, kNormRelative);
}

TEST_P(NormKernel, EmbedNormalisesTheTokensRowsOfATableOfAnyType) {
  const std::vector<std::int32_t> tokens{50, 0, 7, 7, 49};
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t n : {1, 12, 33, 130}) {
      const auto stored = floats(51 * n, 23), weight = floats(n, 24), bias = floats(n, 25), out = nans(5 * n);
      std::vector<std::uint16_t> half;
      std::vector<double> x;
      for (const float f : stored) half.push_back(type == DType::f16 ? f32_to_f16(f) : f32_to_bf16(f));
      for (const std::int32_t token : tokens) {
        for (std::int64_t i = token * n; i < (token + 1) * n; ++i) {
          x.push_back(type == DType::f32 ? stored[i] : type == DType::f16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]));
        }
      }
      const void* const data = type == DType::f32 ? static_cast<const void*>(stored.data()) : half.data();
      table.common.embed(device, {tokens.data(), {type, 51, n, data}, weight.data(), bias.data(), 1e-5f, rows(out, n)});
      ASSERT_NO_FATAL_FAILURE(
          expect_near(out, plain_norm(x, n, 1, weight.data(), bias.data(), 1e-5f), kNormAbsolute, kNormRelative));
    }
  }
}

RWKV_EVERY_INSTRUCTION_SET(NormKernel);

}  // namespace
}  // namespace rwkv::test
