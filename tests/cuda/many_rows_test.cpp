// SPDX-License-Identifier: Apache-2.0
// Products of more than 64 rows in slices, against double-precision loops.
#include "kernels/cuda/many_rows.h"

#include "cuda/device_matmul.h"
#include "cuemu/conformance/cublas.h"
#include "kernels/cuda/matmul.h"

#ifdef CUEMU
#include "cuemu/cuemu.h"
#endif

namespace rwkv::test {
namespace {

using cuda::Cublas, cuda::ManyRows;

std::optional<cuda::CublasLt> open_any() { return cublas().create == nullptr ? std::nullopt : std::optional(cublas()); }

// Products of the host's arrays with little room for widened numbers; returns the scratch that they take.
std::size_t multiply(std::vector<MatMul>& group, Cublas* cublas, std::size_t most_widened) {
  Uploads upload;
  std::vector<MatMul> ops = group;
  ManyRows many(nullptr, cublas, most_widened);
  std::map<const float*, float*> x;
  for (MatMul& op : ops) {
    const std::int64_t n_row = op.x.n_row, n_out = op.weight.n_out;
    if (!x[op.x.data]) x[op.x.data] = upload(op.x.data, n_row * op.weight.n_in);
    op.x.data = x[op.x.data], op.weight = on_device(upload, op.weight);
    op.out.data = upload(op.out.data, n_row * n_out), op.bias = upload(op.bias, n_out),
    op.gate = upload(op.gate, n_row * n_out);
    many.add(op);
  }
  EXPECT_EQ(many.uses_cublas(), cublas != nullptr);
  const DeviceArray<std::byte> scratch(static_cast<std::int64_t>(many.bytes()));
  EXPECT_TRUE(many.launch(scratch.data()).empty());
  cuda::check(cudaDeviceSynchronize());
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Rows& out = group[i].out;
    cuda::check(cudaMemcpy(out.data, ops[i].out.data, out.n_row * out.n_col * 4, cudaMemcpyDeviceToHost));
  }
  return many.bytes();
}

struct Slices {
  DType type;
  Layout layout;
  std::int64_t n_out, n_in;
};

// Of 128 columns each. Bias and gate are those of the slice's columns; what was in out is added.
void expect_slices(const Slices& s, Cublas* cublas) {
  const std::int64_t n_in = valid_n_in(s.type, s.n_in);
  const Weight w = stored(s.type, s.n_out, n_in, 3, s.layout);
  const auto x = floats(66 * n_in, 4), bias = floats(s.n_out, 5), gate = floats(66 * s.n_out, 6),
             before = floats(66 * s.n_out, 7);
  for (const bool plain : {true, false}) {
    auto out = plain ? nans(66 * s.n_out) : before;
    std::vector<MatMul> group{{.x = rows(x, n_in), .weight = w.matrix, .out = rows(out, s.n_out)}};
    if (!plain) {
      group[0].bias = bias.data(), group[0].gate = gate.data(), group[0].add = true;
      group[0].activation = Activation::sigmoid;
    }
    multiply(group, cublas, static_cast<std::size_t>(130 * n_in * 2));
    ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), group[0], w, before)) << "layout " << s.layout << " plain " << plain;
  }
}

// The last one of 32 or of 44 columns, rows of 16 bytes and others; of 512 numbers in two parts.
TEST(CudaManyRows, SlicesEqualPlainLoops) {
  Cublas library(open_any, 0);
  for (const DType type : {DType::i8, DType::i4}) {
    for (const Layout layout : kLayouts) {
      ASSERT_NO_FATAL_FAILURE(expect_slices({type, layout, 288, 40}, nullptr));
      if (layout == kOutputMajor) {
        ASSERT_NO_FATAL_FAILURE(expect_slices({type, layout, 160, 512}, nullptr));
      }
      if (type == DType::i8 || layout == kOutputMajor) {
        ASSERT_NO_FATAL_FAILURE(expect_slices({type, layout, 300, 9}, nullptr));
      }
      if (open_any()) {
        ASSERT_NO_FATAL_FAILURE(expect_slices({type, layout, 288, 40}, &library));
      }
    }
  }
}

// i8 and i4 in both layouts, f16 and bf16; 18 of the same rows of x. There is room for one slice of the largest, or for several
// small matrices.
TEST(CudaManyRows, AGroupSharesTheMemoryOfWhatIsWidened) {
  Cublas library(open_any, 0);
  for (Cublas* const cublas : {static_cast<Cublas*>(nullptr), &library}) {
    if (cublas && !open_any()) continue;
    std::vector<Weight> weights;
    std::vector<std::vector<float>> out;
    std::vector<MatMul> group;
    const auto shared = floats(65 * 32, 1), other = floats(70 * 64, 2);
    for (int i = 0; i < 22; ++i) {
      const DType type = i % 5 == 4 ? DType::f16 : i == 7 ? DType::bf16 : i % 2 ? DType::i8 : DType::i4;
      if (!cuda::has_tensor_cores(type, 65)) continue;
      const auto& x = i < 18 ? shared : other;
      const std::int64_t n_in = i < 18 ? 32 : 64, n_out = i == 3 || i == 20 ? 288 : 32;
      weights.push_back(stored(type, n_out, n_in, 10 + i, i % 3 ? kOutputMajor : kInputMajor));
      out.push_back(nans(std::ssize(x) / n_in * n_out));
      group.push_back({.x = rows(x, n_in), .weight = weights.back().matrix, .out = rows(out.back(), n_out)});
    }
    const std::size_t bytes = multiply(group, cublas, 128 * 64 * 2);
    for (std::size_t i = 0; i < group.size(); ++i) {
      ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), group[i], weights[i])) << "matrix " << i;
    }
    // All that is widened is 108 KB. Planes of x, for each product, and what cuBLASLt wants are more.
    std::size_t others = 128 * 64 * 2 + (1 << 20) * (cublas != nullptr);
    for (const MatMul& op : group) others += op.x.n_row * (op.weight.n_in * 2 + 4) + 512;
    EXPECT_LE(bytes, others);
  }
}

#ifdef CUEMU
// Scratch for our own kernels was reserved, and there is no more; the library fails if it is called.
TEST(CudaManyRows, OurKernelsMultiplyWithoutMemoryForCublas) {
  Cublas library(
      []() -> std::optional<cuda::CublasLt> {
        cuda::CublasLt api = cublas();
        api.matmul = [](auto...) { return cuda::CublasLt::Status::execution_failed; };
        return api;
      },
      0);
  constexpr std::int64_t kRows = 4200;  // whose sums, which the library alone needs apart, are more than the least scratch
  const Weight w = stored(DType::i8, 64, 32, 1);
  auto x = floats(kRows * 32, 2);
  const auto before = floats(kRows * 64, 3);
  MatMul op{.x = rows(x, 32), .weight = w.matrix, .out = {nullptr, kRows, 64}, .add = true};
  Uploads upload;
  const DeviceArray<float> out(before);
  MatMul on_card = op;
  on_card.x.data = upload(x.data(), kRows * 32), on_card.weight = on_device(upload, w.matrix), on_card.out.data = out.data();
  cuda::Scratch grows, reserved;
  EXPECT_THROW(cuda::matmul(nullptr, grows, {&on_card, 1}, &library), DeviceError);
  { const auto use = reserved.use(nullptr, cuda::scratch_bytes(on_card)); }
  cuemu::config().allocations_left = 0;
  EXPECT_NO_THROW(cuda::matmul(nullptr, reserved, {&on_card, 1}, &library));
  cuemu::config().allocations_left = INT64_MAX;
  const auto values = out.values();
  op.out = rows(values, 64);
  ASSERT_NO_FATAL_FAILURE(expect_product(rounding(), op, w, before));
}

std::int64_t launches(std::vector<MatMul> group, std::size_t most_widened) {
  const std::int64_t before = cuemu::launches().all;
  multiply(group, nullptr, most_widened);
  return cuemu::launches().all - before;
}

// x, W, products: of three matrices as of one. Slices have the last two each.
TEST(CudaManyRows, AGroupIsThreeLaunchesAndTwoForEachSlice) {
  const Weight w = stored(DType::i8, 256, 32, 1);
  const auto x = floats(65 * 32, 2), out = nans(65 * 256);
  const MatMul op{.x = rows(x, 32), .weight = w.matrix, .out = rows(out, 256)};
  EXPECT_EQ(launches({op}, 1 << 20), 3);
  EXPECT_EQ(launches({op, op, op}, 1 << 20), 3);
  EXPECT_EQ(launches({op}, 128 * 32 * 2), 5);
}
#endif

}  // namespace
}  // namespace rwkv::test
