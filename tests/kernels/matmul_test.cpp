// SPDX-License-Identifier: Apache-2.0
// Matrix products of every weight type against double-precision loops over the stored numbers.
#include "kernels/cpu/vnni_x86.h"
#include "kernels/kernel_testing.h"
#include "kernels/plain_matmul.h"

namespace rwkv::test {
namespace {

void expect_product(const KernelTable& table, const MatMul& op, const Weight& w, const std::vector<float>& before = {}) {
  const std::int64_t most_exact = table.rounds_x ? 8 : INT64_MAX;
  expect_product({.most_exact = most_exact, .most_in_steps = 8}, op, w, before);
}

using MatMulKernel = EveryInstructionSet;

void expect_every_size(cpu::CpuDevice& device, const KernelTable& table, std::span<const DType> types) {
  for (const DType type : types) {
    for (const std::int64_t n_row : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33}) {
      for (const std::int64_t any_n_in : {1, 7, 12, 15, 16, 33, 130}) {
        for (const std::int64_t any_n_out : {1, 3, 16, 17, 35}) {
          for (const Layout layout : kLayouts) {
            const std::int64_t n_in = valid_n_in(type, any_n_in), n_out = valid_n_out(type, any_n_out, layout);
            const Weight w = stored(type, n_out, n_in, 1, layout);
            const auto x = floats(n_row * n_in, 2), out = nans(n_row * n_out);
            const MatMul op{.x = rows(x, n_in), .weight = w.matrix, .out = rows(out, n_out)};
            table.common.matmul(device, {&op, 1});
            ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w)) << layout;
          }
        }
      }
    }
  }
}

TEST_P(MatMulKernel, EqualsPlainLoopsForEveryTypeAndSize) { expect_every_size(device, table, kTypes); }

TEST_P(MatMulKernel, EqualsPlainLoopsWithoutVnni) {
  if (!cpu::has_vnni()) GTEST_SKIP() << "no VNNI on this machine";
  cpu::hide_vnni(true);
  expect_every_size(device, table, std::array{DType::i8, DType::i4});
  cpu::hide_vnni(false);
}

TEST_P(MatMulKernel, EqualsPlainLoopsWithoutVbmi) {
  if (!cpu::has_vbmi()) GTEST_SKIP() << "no VBMI on this machine";
  cpu::hide_vbmi(true);
  expect_every_size(device, table, std::array{DType::i4});
  cpu::hide_vbmi(false);
}

// Blocks of W have 48 or 64 rows and 256 or 1024 columns, panels of x 2 to 32 rows, a pass 512.
TEST_P(MatMulKernel, EqualsPlainLoopsBeyondOneBlock) {
  struct Shape {
    std::int64_t n_row, n_out, n_in;
  };
  for (const DType type : kTypes) {
    for (Shape s : {Shape{33, 49, 257}, {40, 65, 1030}, {513, 61, 35}, {16, 130, 300}, {64, 64, 64}, {9, 60, 2048}}) {
      for (const Layout layout : kLayouts) {
        s.n_in = valid_n_in(type, s.n_in), s.n_out = valid_n_out(type, s.n_out, layout);
        const Weight w = stored(type, s.n_out, s.n_in, 21, layout);
        const auto x = floats(s.n_row * s.n_in, 22), bias = floats(s.n_out, 23), out = nans(s.n_row * s.n_out);
        const MatMul op{.x = rows(x, s.n_in), .weight = w.matrix, .out = rows(out, s.n_out), .bias = bias.data()};
        table.common.matmul(device, {&op, 1});
        ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w)) << layout;
      }
    }
  }
}

// The rows of an input-major matrix whose input is 0 hold NaN: they would be seen.
TEST_P(MatMulKernel, RowsOfAnInputMajorMatrixWhoseInputIsZeroAreNotRead) {
  constexpr std::int64_t kOut = 37, kIn = 700;
  for (const std::int64_t n_row : {1, 3, 8, 16}) {
    Weight w = stored(DType::f32, kOut, kIn, 24, kInputMajor);
    auto x = floats(n_row * kIn, 25);
    for (std::int64_t k = 0; k < kIn; ++k) {
      if (k % 7 == 0 || (k > 100 && k < 420)) continue;
      for (std::int64_t r = 0; r < n_row; ++r) x[r * kIn + k] = k % 2 ? 0.0f : -0.0f;
      std::fill_n(&w.f32[k * kOut], kOut, kNan);
      for (std::int64_t m = 0; m < kOut; ++m) w.value[m * kIn + k] = 0;
    }
    const auto before = floats(n_row * kOut, 26), gate = floats(n_row * kOut, 27);
    auto out = before;
    const MatMul op{.x = rows(x, kIn), .weight = w.matrix, .out = rows(out, kOut), .add = true, .gate = gate.data()};
    table.common.matmul(device, {&op, 1});
    ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w, before));
  }
}

// Groups of inputs with none to all of their numbers in use, and outputs in and beyond whole cache lines of 128.
TEST_P(MatMulKernel, InputMajorI4OfAnyShareOfZeros) {
  constexpr std::int64_t kIn = 20 * kI4Group;
  for (const std::int64_t n_out : {32, 128, 352}) {
    for (const std::int64_t n_row : {1, 3, 8}) {
      const Weight w = stored(DType::i4, n_out, kIn, 28, kInputMajor);
      auto x = floats(n_row * kIn, 29);
      for (std::int64_t i = 0; i < n_row * kIn; ++i) {
        if (i * 7 % kI4Group >= i / kI4Group % 12 && i / kI4Group % 12 < 11) x[i] = 0.0f;
      }
      const std::vector<float> out = nans(n_row * n_out);
      const MatMul op{.x = rows(x, kIn), .weight = w.matrix, .out = rows(out, n_out)};
      table.common.matmul(device, {&op, 1});
      ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w)) << n_out;
    }
  }
}

TEST_P(MatMulKernel, AppliesBiasThenActivation) {
  for (const DType type : kTypes) {
    for (const Activation activation : kActivations) {
      for (const std::int64_t n_row : {1, 6, 13}) {
        const std::int64_t n_in = valid_n_in(type, 19);
        const Weight w = stored(type, 21, n_in, 3);
        const auto x = floats(n_row * n_in, 4), bias = floats(21, 5), out = nans(n_row * 21);
        const MatMul op{
            .x = rows(x, n_in), .weight = w.matrix, .out = rows(out, 21), .bias = bias.data(), .activation = activation};
        table.common.matmul(device, {&op, 1});
        ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w)) << static_cast<int>(activation);
      }
    }
  }
}

TEST_P(MatMulKernel, AddsToTheOutputWithAndWithoutGate) {
  for (const DType type : kTypes) {
    for (const Activation activation : kActivations) {
      for (const bool gated : {false, true}) {
        const std::int64_t n_in = valid_n_in(type, 13);
        const Weight w = stored(type, 34, n_in, 6);
        const auto x = floats(5 * n_in, 7), gate = floats(5 * 34, 8), before = floats(5 * 34, 9);
        auto out = before;
        const MatMul op{.x = rows(x, n_in),
                        .weight = w.matrix,
                        .out = rows(out, 34),
                        .activation = activation,
                        .add = true,
                        .gate = gated ? gate.data() : nullptr};
        table.common.matmul(device, {&op, 1});
        ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w, before)) << gated;
      }
    }
  }
}

TEST_P(MatMulKernel, GroupOfElevenMatricesOfDifferentShapesAndTypes) {
  std::vector<Weight> weights;
  std::vector<std::vector<float>> x, out;
  std::vector<MatMul> group;
  for (int i = 0; i < 11; ++i) {
    const DType type = kTypes[i % std::size(kTypes)];
    const std::int64_t n_out = 1 + 13 * i, n_in = valid_n_in(type, 40 - 3 * i), n_row = 1 + i % 3;
    weights.push_back(stored(type, n_out, n_in, 10 + i));
    x.push_back(floats(n_row * n_in, 30 + i));
    out.push_back(nans(n_row * n_out));
    group.push_back({.x = rows(x[i], n_in), .weight = weights[i].matrix, .out = rows(out[i], n_out)});
    if (i % 2) group[i].activation = kActivations[i % 5];
  }
  table.common.matmul(device, group);
  for (int i = 0; i < 11; ++i) ASSERT_NO_FATAL_FAILURE(expect_product(table, group[i], weights[i])) << "matrix " << i;
}

TEST_P(MatMulKernel, MatricesOfBothLayoutsShareAnInput) {
  for (const std::int64_t n_row : {3, 12, 40}) {
    const auto x = floats(n_row * 70, 50);
    std::vector<Weight> weights;
    weights.push_back(stored(DType::f32, 20, 70, 51));
    weights.push_back(stored(DType::f32, 30, 70, 52, kInputMajor));
    weights.push_back(stored(DType::f32, 25, 70, 53));
    std::vector<std::vector<float>> out;
    std::vector<MatMul> group;
    for (const Weight& w : weights) {
      out.push_back(nans(n_row * w.matrix.n_out));
      group.push_back({.x = rows(x, 70), .weight = w.matrix, .out = rows(out.back(), w.matrix.n_out)});
    }
    table.common.matmul(device, group);
    for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(expect_product(table, group[i], weights[i])) << "matrix " << i;
  }
}

TEST_P(MatMulKernel, WritesNothingOutsideItsOutput) {
  for (const DType type : kTypes) {
    const std::int64_t n_in = valid_n_in(type, 9);
    const Weight w = stored(type, 19, n_in, 11);
    for (const std::int64_t n_row : {5, 11}) {
      const auto x = floats(n_row * n_in, 12);
      std::vector<float> out(n_row * 19 + 64, 7.0f);
      const MatMul op{.x = rows(x, n_in), .weight = w.matrix, .out = {out.data() + 32, n_row, 19}};
      table.common.matmul(device, {&op, 1});
      ASSERT_NO_FATAL_FAILURE(expect_product(table, op, w));
      for (int i = 0; i < 32; ++i) EXPECT_TRUE(out[i] == 7.0f && out[out.size() - 1 - i] == 7.0f) << i;
    }
  }
}

// The remaining rows must stay numbers: rows do not touch each other.
TEST_P(MatMulKernel, NanInARowComesOutOfThatRowOnly) {
  for (const DType type : kTypes) {
    for (const Activation activation : kActivations) {
      for (const auto& [row, at] : {std::pair(0, 0), {0, 10}, {0, 20}, {7, 0}, {40, 5}}) {
        const int n_row = row == 0 ? 5 : row == 7 ? 11 : 45;
        const std::int64_t n_in = valid_n_in(type, 21);
        const Weight w = stored(type, 23, n_in, 13);
        auto x = floats(n_row * n_in, 14);
        x[row * n_in + at] = kNan;
        const std::vector<float> out(n_row * 23, 1.0f);
        const MatMul op{.x = rows(x, n_in), .weight = w.matrix, .out = rows(out, 23), .activation = activation};
        table.common.matmul(device, {&op, 1});
        for (int i = 0; i < n_row * 23; ++i) {
          ASSERT_EQ(std::isnan(out[i]), i / 23 == row)
              << name_of(type) << " " << static_cast<int>(activation) << " element " << i;
        }
      }
    }
  }
}

// y = x exactly, through a matrix of one 1: 12 relative half ulps, as Highway states 4 ulps for tanh and exp.
TEST_P(MatMulKernel, ActivationsAreAccurateAndSaturateForLargeInputs) {
  std::vector<float> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(0.01f * static_cast<float>(i));
  for (const float large : {88.0f, 100.0f, 1e4f, 3e38f}) x.insert(x.end(), {large, -large});
  for (const Activation activation : {Activation::tanh, Activation::sigmoid, Activation::silu}) {
    const Weight one = [] {
      Weight w = stored(DType::f32, 1, 1, 1);
      w.f32[0] = 1.0f;
      return w;
    }();
    const auto out = nans(static_cast<std::int64_t>(x.size()));
    const MatMul op{.x = rows(x, 1), .weight = one.matrix, .out = rows(out, 1), .activation = activation};
    table.common.matmul(device, {&op, 1});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = activated(activation, x[i]);
      ASSERT_NEAR(out[i], expected, 12 * kUlp * std::abs(expected) + 1e-36 * (1 + std::abs(x[i])))
          << x[i] << " activation " << int(activation);
    }
  }
}

TEST_P(MatMulKernel, ReluSquaredOfAnInfiniteProductIsInfinite) {
  const Weight w = stored(DType::f32, 1, 1, 1);
  const std::vector<float> x{std::numeric_limits<float>::infinity() * (w.f32[0] > 0 ? 1.0f : -1.0f)}, out{kNan};
  const MatMul op{.x = rows(x, 1), .weight = w.matrix, .out = rows(out, 1), .activation = Activation::relu_squared};
  table.common.matmul(device, {&op, 1});
  EXPECT_EQ(out[0], std::numeric_limits<float>::infinity());
}

RWKV_EVERY_INSTRUCTION_SET(MatMulKernel);

}  // namespace
}  // namespace rwkv::test
