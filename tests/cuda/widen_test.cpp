// SPDX-License-Identifier: Apache-2.0
// Matrices of i8 and i4 as float16, against the numbers they stand for.
#include "cuda/device_matmul.h"
#include "kernels/cuda/product.h"

namespace rwkv::test {
namespace {

constexpr DType kStored[] = {DType::i8, DType::i4};

double as_f16(double w) { return f16_to_f32(f32_to_f16(std::clamp(static_cast<float>(w), -65504.0f, 65504.0f))); }

// i4 is exact in float32: a code of 8 bits by a scale of 8. i8 has errors of some half ulps of its parts there, so that either
// of two float16 may come out where w is in their middle.
double error_of(const Weight& w, std::int64_t m, std::int64_t k) {
  if (w.matrix.type == DType::i4) return 0.0;
  return 4 * kUlp * (256 * std::abs(w.rx[m] * w.ry[k]) + std::abs(w.mx[m]) + std::abs(w.my[k]));
}

void expect_widened(const Weight& w, std::int64_t n_out, const std::vector<std::uint16_t>& found) {
  const Matrix& matrix = w.matrix;
  for (std::int64_t m = 0; m < n_out; ++m) {
    for (std::int64_t k = 0; k < matrix.n_in; ++k) {
      const double value = w.value[m * matrix.n_in + k], error = error_of(w, m, k);
      const double number = f16_to_f32(found[matrix.input_major ? k * n_out + m : m * matrix.n_in + k]);
      ASSERT_TRUE(as_f16(value - error) <= number && number <= as_f16(value + error))
          << name_of(matrix.type) << " [" << m << ", " << k << "] of [" << n_out << ", " << matrix.n_in << "], layout "
          << matrix.input_major << ": " << number << " for " << value;
    }
  }
}

// The first n_out[i] rows of each, all in one launch. A number more is behind each, which stays as it is.
std::vector<std::vector<std::uint16_t>> widened(const std::vector<Weight>& weights, const std::vector<std::int64_t>& n_out) {
  constexpr std::uint16_t kUnwritten = 0x7e01;
  Uploads upload;
  cuda::Products products{};
  std::vector<std::unique_ptr<DeviceArray<std::uint16_t>>> results;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::vector<std::uint16_t> unwritten(n_out[i] * weights[i].matrix.n_in + 1, kUnwritten);
    results.push_back(std::make_unique<DeviceArray<std::uint16_t>>(unwritten));
    cuda::Product& p = products.product[products.n++];
    p = cuda::to_product({.x = {}, .weight = on_device(upload, weights[i].matrix), .out = {}});
    p.n_out = static_cast<int>(n_out[i]), p.scratch = results.back()->data();
  }
  cuda::widen(nullptr, weights[0].matrix.type, weights[0].matrix.input_major, products);
  std::vector<std::vector<std::uint16_t>> all;
  for (const auto& result : results) {
    all.push_back(result->values());
    EXPECT_EQ(all.back().back(), kUnwritten);
  }
  return all;
}

void expect_all_widened(const std::vector<Weight>& weights, const std::vector<std::int64_t>& n_out) {
  const auto found = widened(weights, n_out);
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NO_FATAL_FAILURE(expect_widened(weights[i], n_out[i], found[i]));
}

// A warp has 256 numbers (i4: 512) of 8 rows, a block 64 rows; whole vectors where rows are of 16 bytes.
TEST(CudaWiden, EqualsPlainLoopsAtEverySize) {
  for (const DType type : kStored) {
    for (const auto& [n_out, n_in] : {std::pair(1, 1), {3, 7}, {9, 48}, {67, 31}, {5, 264}, {66, 560}, {263, 72}, {528, 9}}) {
      for (const Layout layout : kLayouts) {
        const std::int64_t rows = valid_n_out(type, n_out, layout);
        std::vector<Weight> weights;
        weights.push_back(stored(type, rows, valid_n_in(type, n_in), 3, layout));
        ASSERT_NO_FATAL_FAILURE(expect_all_widened(weights, {rows}));
      }
    }
  }
}

TEST(CudaWiden, SeveralMatricesAndSlicesOfThemAreOneLaunch) {
  for (const DType type : kStored) {
    for (const Layout layout : kLayouts) {
      std::vector<Weight> weights;
      std::vector<std::int64_t> n_out;
      for (const auto& [all, rows, n_in] : {std::tuple(96, 96, 64), {288, 32, 9}, {64, 64, 272}, {160, 128, 16}}) {
        weights.push_back(stored(type, all, valid_n_in(type, n_in), 7, layout));
        n_out.push_back(rows);
      }
      ASSERT_NO_FATAL_FAILURE(expect_all_widened(weights, n_out));
    }
  }
}

// Tiny ones are subnormal, or 0.
TEST(CudaWiden, NumbersBeyondFloat16AreTheLargest) {
  for (const DType type : kStored) {
    for (const float size : {0x1p20f, 0x1p-10f, 0x1p-20f}) {
      std::vector<Weight> weights;
      weights.push_back(stored(type, 40, 32, 9));
      Weight& w = weights[0];
      for (std::int64_t i = 0; i < 40; ++i) {
        for (std::int64_t k = 0; k < 32; ++k) w.value[i * 32 + k] *= i % 2 ? size : 1.0;
        if (type == DType::i4) w.scale[i] = f32_to_bf16(bf16_to_f32(w.scale[i]) * (i % 2 ? size : 1.0f));
      }
      if (type == DType::i8) {
        for (std::int64_t k = 0; k < 32; ++k) w.my[k] = 0.0f;
        for (std::int64_t i = 0; i < 40; ++i) {
          if (i % 2) w.mx[i] *= size, w.rx[i] *= size;
          for (std::int64_t k = 0; k < 32; ++k) w.value[i * 32 + k] = (w.q[i * 32 + k] + 0.5) * w.rx[i] * w.ry[k] + w.mx[i];
        }
      }
      ASSERT_NO_FATAL_FAILURE(expect_all_widened(weights, {40}));
    }
  }
}

TEST(CudaWiden, NanStays) {
  std::vector<Weight> weights;
  weights.push_back(stored(DType::i8, 3, 16, 11));
  weights[0].mx[1] = kNan;
  const auto found = widened(weights, {3})[0];
  for (int i = 0; i < 48; ++i) EXPECT_EQ(std::isnan(f16_to_f32(found[i])), i / 16 == 1) << i;
}

}  // namespace
}  // namespace rwkv::test
