// SPDX-License-Identifier: Apache-2.0
// The products of CUDA against double-precision loops over the stored numbers.
#include "kernels/cuda/matmul.h"

#include "cuda/device_matmul.h"
#include "cuda/with_code.h"
#include "kernels/cuda/product.h"

#ifdef CUEMU
#include "cuemu/cuemu.h"
#endif

namespace rwkv::test {
namespace {

struct Shape {
  std::int64_t n_row, n_out, n_in;
};

void expect_plain(DType type, Shape s, Layout layout, std::uint32_t seed) {
  s.n_in = valid_n_in(type, s.n_in), s.n_out = valid_n_out(type, s.n_out, layout);
  const Weight w = stored(type, s.n_out, s.n_in, seed, layout);
  const auto x = floats(s.n_row * s.n_in, seed + 5), out = nans(s.n_row * s.n_out);
  const MatMul op{.x = rows(x, s.n_in), .weight = w.matrix, .out = rows(out, s.n_out)};
  matmul(op);
  ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w)) << "layout " << layout;
}

TEST(CudaMatMul, EqualsPlainLoopsForEveryTypeAndSize) {
  for (const DType type : kTypes) {
    for (const std::int64_t n_row : {1, 2, 3, 5, 8, 9, 16, 17, 33}) {
      for (const auto& [n_out, n_in] : {std::pair(3, 7), {35, 48}}) {
        for (const Layout layout : kLayouts) ASSERT_NO_FATAL_FAILURE(expect_plain(type, {n_row, n_out, n_in}, layout, 1));
      }
    }
  }
}

// Blocks are of 64 rows of x or 512 of W, chunks of 16 rows of x have 512 numbers, of 2 rows 2,048; parts of W^T have 256 rows,
// those of tensor cores as many or more. Of 1 and 2 rows of x a thread has two vectors of W on their way.
TEST(CudaMatMul, EqualsPlainLoopsBeyondOneBlock) {
  for (const DType type : kTypes) {
    for (const Shape& s : {Shape{33, 66, 544},
                           {70, 65, 41},
                           {16, 5, 520},
                           {13, 70, 330},
                           {1, 520, 264},
                           {2, 5, 2056},
                           {1, 3, 8464},
                           {2, 3, 4208}}) {
      for (const Layout layout : kLayouts) ASSERT_NO_FATAL_FAILURE(expect_plain(type, s, layout, 21));
    }
  }
}

// One block has 16, 32 or 64 rows of x, 128 of W and a part of the input: of 128 numbers or more, of i4 512, in tiles of 32 to
// 128.
TEST(CudaMatMul, EqualsPlainLoopsForABatchInParts) {
  for (const DType type : kTypes) {
    for (const Shape& s : {Shape{64, 130, 70}, {17, 35, 1056}, {16, 130, 1024}, {34, 20, 560}}) {
      for (const Layout layout : kLayouts) ASSERT_NO_FATAL_FAILURE(expect_plain(type, s, layout, 81));
    }
  }
}

// The kernels with large tiles by themselves: products that are large enough for matmul() to choose them take too long here.
TEST(CudaMatMul, LargeTilesOfTensorCoresEqualPlainLoops) {
  for (const DType type : {DType::f16, DType::bf16}) {
    for (const Shape& s : {Shape{129, 130, 32}, {40, 35, 544}}) {
      for (const Layout layout : kLayouts) {
        if (!cuda::has_tensor_cores(type, 65)) continue;
        const Weight w = stored(type, s.n_out, s.n_in, 41, layout);
        const auto x = floats(s.n_row * s.n_in, 42), out = nans(s.n_row * s.n_out);
        MatMul op{.x = rows(x, s.n_in), .weight = w.matrix, .out = rows(out, s.n_out)};
        Uploads upload;
        MatMul on_card = op;
        on_card.x.data = upload(op.x.data, s.n_row * s.n_in), on_card.weight = on_device(upload, w.matrix);
        const DeviceArray<float> result(out), scratch(8 * s.n_row * s.n_in);
        on_card.out.data = result.data();
        for (const int parts : {1, 2}) {
          const DeviceArray<float> sums(parts * s.n_row * s.n_out);
          cuda::Products products{};
          products.n = 1;
          cuda::Product& p = products.product[0];
          p = cuda::to_product(on_card);
          p.scratch = scratch.data(), p.parts = parts, p.sums = parts > 1 ? sums.data() : nullptr;
          cuda::gemm_narrow(nullptr, type, products);
          cuda::gemm(nullptr, type, layout == kInputMajor, 128, products);
          cuda::gemm_finish(nullptr, type, products);
          const auto values = result.values();
          op.out = rows(values, s.n_out);
          ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w)) << "layout " << layout << " parts " << parts;
        }
      }
    }
  }
}

#ifdef CUEMU
// Also with less shared memory, which cuts the input in more parts.
TEST(CudaMatMul, EqualsPlainLoopsWithoutTensorCoresForBf16) {
  cuemu::config().sm = 75;
  for (const DType type : kTypes) {
    for (const Layout layout : kLayouts) {
      for (const Shape& s : {Shape{35, 66, 42}, {20, 5, 544}, {65, 10, 70}}) expect_plain(type, s, layout, 31);
    }
  }
  cuemu::config().sm = 90;
}

// The card has them, but not the code of a build for older ones.
TEST(CudaMatMul, EqualsPlainLoopsWithCodeWithoutTensorCoresForBf16) {
  with_code(75, [] {
    for (const DType type : kTypes) expect_plain(type, {35, 66, 42}, kOutputMajor, 31);
  });
}
#endif

// What has run once can be captured, and a graph does the same.
TEST(CudaMatMul, ReplayOfAGraphIsBitEqual) {
  for (const std::int64_t n_row : {1, 20}) {
    Uploads upload;
    auto x = floats(n_row * 544, 61), before = nans(n_row * 40);
    std::vector<Weight> weights;
    weights.push_back(stored(DType::f16, 40, 544, 62)), weights.push_back(stored(DType::i8, 40, 544, 63, kInputMajor));
    std::vector<MatMul> group;
    for (const Weight& w : weights) {
      group.push_back({.x = {upload(x.data(), std::ssize(x)), n_row, 544},
                       .weight = on_device(upload, w.matrix),
                       .out = {upload(before.data(), std::ssize(before)), n_row, 40}});
    }
    const auto results = [&] {
      std::vector<float> all(2 * n_row * 40);
      for (int i = 0; i < 2; ++i) {
        float* const out = group[i].out.data;
        cuda::check(cudaMemcpy(all.data() + i * n_row * 40, out, n_row * 40 * 4, cudaMemcpyDeviceToHost));
        cuda::check(cudaMemset(out, 0xff, n_row * 40 * 4));
      }
      cuda::check(cudaDeviceSynchronize());
      return all;
    };
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    {
      cuda::Scratch scratch;
      cuda::matmul(stream, scratch, group);
      cuda::check(cudaStreamSynchronize(stream));
      const auto eager = results();
      cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
      cuda::matmul(stream, scratch, group);
      cuda::check(cudaStreamEndCapture(stream, &graph));
      cuda::check(cudaGraphInstantiate(&replay, graph, 0));
      cuda::check(cudaGraphLaunch(replay, stream));
      cuda::check(cudaStreamSynchronize(stream));
      EXPECT_EQ(results(), eager);
      EXPECT_FALSE(std::isnan(eager[0]));
    }
    cuda::check(cudaGraphExecDestroy(replay));
    cuda::check(cudaGraphDestroy(graph));
    cuda::check(cudaStreamDestroy(stream));
  }
}

// Its largest number decides how a row of x is scaled for float16.
TEST(CudaMatMul, RowsOfXMayBeTinyHugeOrZero) {
  for (const DType type : {DType::f16, DType::i8}) {
    for (const std::int64_t n_row : {20, 40, 70}) {
      const Weight w = stored(type, 10, 70, 51);
      auto x = floats(n_row * 70, 52);
      constexpr float kSizes[] = {1.0f, 0x1p-100f, 0x1p100f, 0.0f, 0x1p20f};
      for (std::int64_t i = 0; i < std::ssize(x); ++i) x[i] = bf16_to_f32(f32_to_bf16(x[i])) * kSizes[i / 70 % 5];
      const auto out = nans(n_row * 10);
      const MatMul op{.x = rows(x, 70), .weight = w.matrix, .out = rows(out, 10)};
      matmul(op);
      ASSERT_NO_FATAL_FAILURE(expect_product({.most_stored = 64}, op, w));
    }
  }
}

// Each 32 of them reach 127 256, so that none is rounded: kernels/cuda/digits.h.
TEST(CudaMatMul, WholeNumbersAreExactWithI4) {
  for (const std::int64_t n_row : {1, 2, 3, 4}) {
    const Weight w = stored(DType::i4, 10, 96, 71);
    auto x = floats(n_row * 96, 72);
    for (std::int64_t i = 0; i < std::ssize(x); ++i) x[i] = i % 32 == 7 ? 32512.0f : std::round(6000 * x[i]);
    for (float& number : x) ASSERT_LE(std::abs(number), 32512.0f);
    const auto out = nans(n_row * 10);
    const MatMul op{.x = rows(x, 96), .weight = w.matrix, .out = rows(out, 10)};
    matmul(op);
    ASSERT_NO_FATAL_FAILURE(expect_product({}, op, w));
  }
}

TEST(CudaMatMul, AppliesBiasThenActivation) {
  for (const DType type : kTypes) {
    for (const Activation activation : kActivations) {
      for (const auto& [n_row, layout] : {std::pair(1, kInputMajor), {6, kOutputMajor}, {19, kInputMajor}}) {
        const std::int64_t n_in = valid_n_in(type, 19), n_out = valid_n_out(type, 21, layout);
        const Weight w = stored(type, n_out, n_in, 3, layout);
        const auto x = floats(n_row * n_in, 4), bias = floats(n_out, 5), out = nans(n_row * n_out);
        const MatMul op{
            .x = rows(x, n_in), .weight = w.matrix, .out = rows(out, n_out), .bias = bias.data(), .activation = activation};
        matmul(op);
        ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w)) << static_cast<int>(activation);
      }
    }
  }
}

TEST(CudaMatMul, AddsToTheOutputWithAndWithoutGate) {
  for (const DType type : kTypes) {
    for (const Activation activation : {Activation::none, Activation::sigmoid}) {
      for (const bool gated : {false, true}) {
        for (const std::int64_t n_row : {1, 5, 20}) {
          for (const Layout layout : kLayouts) {
            const std::int64_t n_in = valid_n_in(type, 13), n_out = valid_n_out(type, 34, layout);
            const Weight w = stored(type, n_out, n_in, 6, layout);
            const auto x = floats(n_row * n_in, 7), gate = floats(n_row * n_out, 8), before = floats(n_row * n_out, 9);
            auto out = before;
            const MatMul op{.x = rows(x, n_in),
                            .weight = w.matrix,
                            .out = rows(out, n_out),
                            .activation = activation,
                            .add = true,
                            .gate = gated ? gate.data() : nullptr};
            matmul(op);
            ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w, before)) << gated;
          }
        }
      }
    }
  }
}

TEST(CudaMatMul, GroupOfTwentyMatricesOfDifferentShapesAndTypes) {
  for (const std::int64_t rows_of_first : {1, 30}) {
    std::vector<Weight> weights;
    std::vector<std::vector<float>> x, out;
    std::vector<MatMul> group;
    for (int i = 0; i < 20; ++i) {
      const DType type = i < 17 ? DType::f32 : kTypes[i % std::size(kTypes)];
      const std::int64_t n_out = 1 + 13 * i, n_in = valid_n_in(type, 64 - 3 * i), n_row = rows_of_first + i % 3;
      weights.push_back(stored(type, n_out, n_in, 10 + i, i % 4 == 3 && type != DType::i4 ? kInputMajor : kOutputMajor));
      x.push_back(floats(n_row * n_in, 30 + i));
      out.push_back(nans(n_row * n_out));
      group.push_back({.x = rows(x[i], n_in), .weight = weights[i].matrix, .out = rows(out[i], n_out)});
      if (i % 2) group[i].activation = kActivations[i % 5];
    }
    matmul(group);
    for (int i = 0; i < 20; ++i) ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), group[i], weights[i])) << "matrix " << i;
  }
}

TEST(CudaMatMul, NanInARowComesOutOfThatRowOnly) {
  for (const DType type : kTypes) {
    for (const Activation activation : {Activation::none, Activation::silu, Activation::relu_squared}) {
      for (const auto& [row, at] : {std::pair(0, 0), {0, 10}, {0, 20}, {7, 0}, {40, 5}, {41, 6}}) {
        const int n_row = row == 0 ? 5 : row == 7 ? 11 : row == 40 ? 45 : 66;
        const std::int64_t n_in = valid_n_in(type, 21);
        const Weight w = stored(type, 23, n_in, 13);
        auto x = floats(n_row * n_in, 14);
        x[row * n_in + at] = kNan;
        const std::vector<float> out(n_row * 23, 1.0f);
        matmul({.x = rows(x, n_in), .weight = w.matrix, .out = rows(out, 23), .activation = activation});
        for (int i = 0; i < n_row * 23; ++i) {
          ASSERT_EQ(std::isnan(out[i]), i / 23 == row)
              << name_of(type) << " " << static_cast<int>(activation) << " element " << i;
        }
      }
    }
  }
}

// The rows of an input-major matrix whose input is 0 hold NaN: they would be seen.
TEST(CudaMatMul, RowsOfAnInputMajorMatrixWhoseInputIsZeroAreNotRead) {
  constexpr std::int64_t kOut = 37, kIn = 700;
  for (const std::int64_t n_row : {1, 3, 8}) {
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
    matmul(op);
    ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w, before));
  }
}

// y = x exactly, through a matrix of one 1: 12 half ulps, as CUDA states 2 ulps for tanh and expf.
TEST(CudaMatMul, ActivationsAreAccurateAndSaturateForLargeInputs) {
  std::vector<float> x;
  for (int i = -400; i <= 400; ++i) x.push_back(0.1f * static_cast<float>(i));
  for (const float large : {88.0f, 100.0f, 1e4f, 3e38f}) x.insert(x.end(), {large, -large});
  for (const Activation activation : {Activation::tanh, Activation::sigmoid, Activation::silu}) {
    const float one = 1.0f;
    const auto out = nans(std::ssize(x));
    matmul({.x = rows(x, 1), .weight = {.n_out = 1, .n_in = 1, .data = &one}, .out = rows(out, 1), .activation = activation});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = activated(activation, x[i]);
      ASSERT_NEAR(out[i], expected, 12 * kUlp * std::abs(expected) + 1e-36 * (1 + std::abs(x[i])))
          << x[i] << " activation " << int(activation);
    }
  }
}

}  // namespace
}  // namespace rwkv::test
