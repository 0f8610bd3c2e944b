// SPDX-License-Identifier: Apache-2.0
// out = activation(x W^T + bias) for a group of matrices: y[r, m] = sum_n x[r, n] W[m, n], float32 accumulation. A task takes
// 16 output columns. One row: a thread reads its weight rows one after the other as one sequential stream (bandwidth bound: 4,
// 2 or 1 bytes per multiply-add). More rows: tiles of 4 x 4, so that each load of a weight or an input serves four products.
#include <algorithm>
#include <span>
#include <vector>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"
#include "kernels/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kOut = 16;  // output columns of a task
constexpr int kTile = 4;

struct LoadF32 {
  using Type = float;
  static HWY_INLINE V<F32> load(F32 d, const float* p) { return hn::LoadU(d, p); }
  static float one(float x) { return x; }
};

struct LoadF16 {
  using Type = std::uint16_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint16_t* p) {
    const hn::Rebind<hwy::float16_t, F32> d16;
    return hn::PromoteTo(d, hn::BitCast(d16, hn::LoadU(hn::RebindToUnsigned<decltype(d16)>(), p)));
  }
  static float one(std::uint16_t x) { return f16_to_f32(x); }
};

// A bfloat16 is the upper half of a float32: widen to 32 bits and shift.
struct LoadBf16 {
  using Type = std::uint16_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint16_t* p) {
    const hn::Repartition<std::uint32_t, F32> d32;
    const hn::Rebind<std::uint16_t, F32> d16;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, p))));
  }
  static float one(std::uint16_t x) { return bf16_to_f32(x); }
};

// q + 0.5; rows and columns are scaled outside (see Scaled).
struct LoadI8 {
  using Type = std::uint8_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint8_t* p) {
    const hn::Repartition<std::int32_t, F32> d32;
    const hn::Rebind<std::uint8_t, F32> d8;
    return hn::Add(hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, p))), hn::Set(d, 0.5f));
  }
  static float one(std::uint8_t x) { return static_cast<float>(x) + 0.5f; }
};

// Four chains hide the latency of the multiply-add. Named, not an array: an array of vectors may live in memory.
template <class Load>
HWY_INLINE float dot(const typename Load::Type* w, const float* x, std::int64_t n) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::MulAdd(Load::load(d, w + i), hn::LoadU(d, x + i), s0);
    s1 = hn::MulAdd(Load::load(d, w + i + lanes), hn::LoadU(d, x + i + lanes), s1);
    s2 = hn::MulAdd(Load::load(d, w + i + 2 * lanes), hn::LoadU(d, x + i + 2 * lanes), s2);
    s3 = hn::MulAdd(Load::load(d, w + i + 3 * lanes), hn::LoadU(d, x + i + 3 * lanes), s3);
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::MulAdd(Load::load(d, w + i), hn::LoadU(d, x + i), s0);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += Load::one(w[i]) * x[i];
  return sum;
}

// y[a, b] = w row b times x row a for a < Rows, b < 4; y has kOut columns.
template <class Load, int kRows>
HWY_INLINE void tile(const typename Load::Type* w, const float* x, std::int64_t n, float* y) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V<F32> sum[kRows][kTile];
  HWY_UNROLL(kTile)
  for (int a = 0; a < kRows; ++a) {
    HWY_UNROLL(kTile)
    for (int b = 0; b < kTile; ++b) sum[a][b] = hn::Zero(d);
  }
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto w0 = Load::load(d, w + i), w1 = Load::load(d, w + n + i);
    const auto w2 = Load::load(d, w + 2 * n + i), w3 = Load::load(d, w + 3 * n + i);
    HWY_UNROLL(kTile)
    for (int a = 0; a < kRows; ++a) {
      const auto xa = hn::LoadU(d, x + a * n + i);
      sum[a][0] = hn::MulAdd(w0, xa, sum[a][0]);
      sum[a][1] = hn::MulAdd(w1, xa, sum[a][1]);
      sum[a][2] = hn::MulAdd(w2, xa, sum[a][2]);
      sum[a][3] = hn::MulAdd(w3, xa, sum[a][3]);
    }
  }
  for (int a = 0; a < kRows; ++a) {
    for (int b = 0; b < kTile; ++b) {
      float s = hn::GetLane(hn::SumOfLanes(d, sum[a][b]));
      for (std::int64_t j = i; j < n; ++j) s += Load::one(w[b * n + j]) * x[a * n + j];
      y[a * kOut + b] = s;
    }
  }
}

// y[a, b] for kRows rows and `columns` <= 16 weight rows.
template <class Load, int kRows>
HWY_INLINE void rows_by_columns(const typename Load::Type* w, const float* x, std::int64_t n, std::int64_t columns, float* y) {
  std::int64_t b = 0;
  if constexpr (kRows > 1) {
    for (; b + kTile <= columns; b += kTile) tile<Load, kRows>(w + b * n, x, n, y + b);
  }
  for (; b < columns; ++b) {
    for (int a = 0; a < kRows; ++a) y[a * kOut + b] = dot<Load>(w + b * n, x + a * n, n);
  }
}

// The input of an i8 matrix, prepared once per call (spec 2.9):
//   y[m] = rx[m] sum_n (x[n] ry[n]) (q[m, n] + 0.5) + sum_n x[n] my[n] + mx[m] sum_n x[n]
struct Scaled {
  std::vector<float> x;    // [R, n_in], times ry
  std::vector<float> sum;  // [R], of x
  std::vector<float> my;   // [R], sum of x my
};

Scaled scale_input(const MatMul& op) {
  const std::int64_t n = op.x.n_col, rows = op.x.n_row;
  Scaled s{std::vector<float>(rows * n), std::vector<float>(rows), std::vector<float>(rows)};
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* const x = op.x.data + r * n;
    float* const scaled = s.x.data() + r * n;
    for_vectors(n, [&](auto d, std::int64_t i)
                       HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, op.weight.ry + i)), d, scaled + i); });
    s.sum[r] = sum_vectors(n, [x](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); });
    s.my[r] = sum_vectors(
        n, [&](auto d, std::int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, op.weight.my + i)); });
  }
  return s;
}

template <class D>
HWY_INLINE V<D> activate(D d, Activation activation, V<D> y) {
  switch (activation) {
    case Activation::none:
      return y;
    case Activation::tanh:
      return keep_nan<D>(y, hn::Tanh(d, y));
    case Activation::sigmoid:
      return sigmoid(d, y);
    case Activation::silu:
      return hn::Mul(y, sigmoid(d, y));
    case Activation::relu_squared: {
      const auto positive = keep_nan<D>(y, hn::Max(y, hn::Zero(d)));
      return hn::Mul(positive, positive);
    }
  }
  return y;
}

// Columns [first, first + n) of one row of the result, from the raw products y.
HWY_INLINE void finish(const MatMul& op, const Scaled& scaled, std::int64_t row, std::int64_t first, std::int64_t n,
                       const float* y) {
  const std::int64_t at = row * op.out.n_col + first;
  float* const out = op.out.data + at;
  for_vectors(n, [&](auto d, std::int64_t i) HWY_ATTR {
    auto value = hn::LoadU(d, y + i);
    if (op.weight.type == DType::i8) {
      const auto offset =
          hn::MulAdd(hn::LoadU(d, op.weight.mx + first + i), hn::Set(d, scaled.sum[row]), hn::Set(d, scaled.my[row]));
      value = hn::MulAdd(value, hn::LoadU(d, op.weight.rx + first + i), offset);
    }
    if (op.bias) value = hn::Add(value, hn::LoadU(d, op.bias + first + i));
    value = activate(d, op.activation, value);
    if (op.gate) value = hn::Mul(value, hn::LoadU(d, op.gate + at + i));
    if (op.add) value = hn::Add(value, hn::LoadU(d, out + i));
    hn::StoreU(value, d, out + i);
  });
}

// Columns [first, first + kOut) for all rows.
template <class Load>
void columns(const MatMul& op, const Scaled& scaled, std::int64_t first) {
  const std::int64_t n = op.weight.n_in, rows = op.x.n_row, count = std::min(kOut, op.weight.n_out - first);
  const auto* const w = static_cast<const typename Load::Type*>(op.weight.data) + first * n;
  const float* const input = scaled.x.empty() ? op.x.data : scaled.x.data();
  alignas(64) float y[kTile * kOut];
  for (std::int64_t row = 0; row < rows; row += kTile) {
    const float* const x = input + row * n;
    const std::int64_t some = std::min<std::int64_t>(kTile, rows - row);
    switch (some) {
      case 1:
        rows_by_columns<Load, 1>(w, x, n, count, y);
        break;
      case 2:
        rows_by_columns<Load, 2>(w, x, n, count, y);
        break;
      case 3:
        rows_by_columns<Load, 3>(w, x, n, count, y);
        break;
      default:
        rows_by_columns<Load, kTile>(w, x, n, count, y);
    }
    for (std::int64_t a = 0; a < some; ++a) finish(op, scaled, row + a, first, count, y + a * kOut);
  }
}

void matmul_columns(const MatMul& op, const Scaled& scaled, std::int64_t first) {
  switch (op.weight.type) {
    case DType::f32:
      return columns<LoadF32>(op, scaled, first);
    case DType::f16:
      return columns<LoadF16>(op, scaled, first);
    case DType::bf16:
      return columns<LoadBf16>(op, scaled, first);
    case DType::i8:
      return columns<LoadI8>(op, scaled, first);
  }
}

void matmul(Device& device, std::span<const MatMul> group) {
  constexpr std::size_t kMost = 8;
  if (group.size() > kMost) {
    matmul(device, group.first(kMost));
    return matmul(device, group.subspan(kMost));
  }
  Scaled scaled[kMost];
  std::int64_t end[kMost], tasks = 0;  // tasks of matrices 0 .. i: [.., end[i])
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (group[i].weight.type == DType::i8) scaled[i] = scale_input(group[i]);
    end[i] = tasks += (group[i].weight.n_out + kOut - 1) / kOut;
  }
  pool_of(device).parallel_for(tasks, [&](std::int64_t task) {
    std::size_t i = 0;
    while (task >= end[i]) ++i;
    const std::int64_t before = i ? end[i - 1] : 0;
    matmul_columns(group[i], scaled[i], (task - before) * kOut);
  });
}

MatMulKernels kernels() { return {matmul, hwy::TargetName(HWY_TARGET)}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
MatMulKernels matmul_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
