// SPDX-License-Identifier: Apache-2.0
// out = activation(x W^T + bias) for a group of matrices: y[r, m] = sum_n x[r, n] W[m, n], float32 sums. A task takes some
// columns of the output, that is rows of W.
// Few rows of x (at most 8): a thread reads its rows of W one after the other as one sequential stream, bandwidth bound: 4, 2
// or 1 bytes per multiply-add. Many rows: x is transposed into panels first, W is read in blocks that stay in the cache, and
// each number of W is multiplied with a whole panel (gemm-inl.h; bf16_x86.h for bfloat16 where the machine multiplies it).
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cpu/bf16_x86.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kFewRows = 8;
constexpr std::int64_t kFewColumns = 16;  // of a task: with few rows,
constexpr std::int64_t kBlock = 48;       // with many: rows of W in a block, a multiple of kRows,
constexpr std::int64_t kDepth = 256;      // numbers of each (float32: with a panel of x it fits the first-level cache)
constexpr std::int64_t kBf16Block = 64;   // the same for bfloat16
constexpr std::int64_t kBf16Depth = 1024;
// Rows up to which x is the sum of two bfloat16, 16 bits, so that sequences decoding together get the logits they get alone.
// More rows are a prompt: x is rounded once, 8 bits like the weights.
constexpr std::int64_t kTwoPlanes = 32;
constexpr std::int64_t kMostRows = 256;  // of x that one pass over W serves

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

// y[a] = w x[a] for kX rows of x, n apart: each vector of w is loaded once.
template <class Load, int kX>
HWY_INLINE void dots(const typename Load::Type* w, const float* x, std::int64_t n, float* y) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V<F32> sum[kX];
  HWY_UNROLL(kFewRows)
  for (int a = 0; a < kX; ++a) sum[a] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto weights = Load::load(d, w + i);
    HWY_UNROLL(kFewRows)
    for (int a = 0; a < kX; ++a) sum[a] = hn::MulAdd(weights, hn::LoadU(d, x + a * n + i), sum[a]);
  }
  for (int a = 0; a < kX; ++a) {
    float s = hn::GetLane(hn::SumOfLanes(d, sum[a]));
    for (std::int64_t j = i; j < n; ++j) s += Load::one(w[j]) * x[a * n + j];
    y[a] = s;
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

// The instruction sets below AVX-512 are for machines that have no such kernel, and for tests.
const Bf16Kernel* kernel_for_bf16() { return HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL ? bf16_kernel() : nullptr; }

// One matrix of a group, and its input as the kernels want it.
struct Product {
  const MatMul* op;
  Scaled scaled;                     // i8 only
  const Bf16Kernel* bf16 = nullptr;  // the panels hold pairs of bfloat16
  std::byte* panels = nullptr;       // x, transposed; null: few rows
  bool packs = false;                // the first of the group with these panels

  explicit Product(const MatMul& matmul) : op(&matmul) {
    if (op->weight.type == DType::i8) scaled = scale_input(*op);
    if (op->weight.type == DType::bf16 && rows() > kFewRows) bf16 = kernel_for_bf16();
  }

  [[nodiscard]] std::int64_t rows() const { return op->x.n_row; }
  [[nodiscard]] const float* x() const { return scaled.x.empty() ? op->x.data : scaled.x.data(); }
  [[nodiscard]] std::int64_t columns() const {
    return rows() <= kFewRows ? kFewColumns : bf16 ? kBf16Block / bf16->step_n * bf16->step_n : kBlock;
  }
  [[nodiscard]] std::int64_t tasks() const { return (op->weight.n_out + columns() - 1) / columns(); }

  [[nodiscard]] std::int64_t panel_width() const { return bf16 ? kPanel : panel_rows(); }
  [[nodiscard]] std::int64_t n_panels() const { return (rows() + panel_width() - 1) / panel_width(); }
  [[nodiscard]] std::int64_t depth() const { return bf16 ? (op->weight.n_in + 31) / 32 * 32 : op->weight.n_in; }
  [[nodiscard]] std::int64_t planes() const { return bf16 && rows() <= kTwoPlanes ? 2 : 1; }
  [[nodiscard]] std::int64_t plane_bytes() const { return panel_width() * depth() * (bf16 ? 2 : 4); }
  [[nodiscard]] std::int64_t panel_bytes() const { return plane_bytes() * planes(); }
  [[nodiscard]] bool same_panels(const Product& other) const {
    return x() == other.x() && rows() == other.rows() && op->x.n_col == other.op->x.n_col && bf16 == other.bf16;
  }
};

void pack_panel(const Product& p, std::int64_t panel) {
  const std::int64_t n = p.op->x.n_col, width = p.panel_width(), first = panel * width,
                     rows = std::min(width, p.rows() - first);
  std::byte* const to = p.panels + panel * p.panel_bytes();
  for (std::int64_t plane = 0; p.bf16 && plane < p.planes(); ++plane) {
    p.bf16->pack({p.x() + first * n, rows, n, p.depth(), plane == 1},
                 reinterpret_cast<std::uint32_t*>(to + plane * p.plane_bytes()));
  }
  if (p.bf16) return;
  auto* const floats = reinterpret_cast<float*>(to);
  if (rows < width) std::fill_n(floats, width * n, 0.0f);
  transpose(p.x() + first * n, n, rows, n, floats, width);
}

// Columns [first, first + kFewColumns) for at most kFewRows rows.
template <class Load, int kX>
void few_rows(const Product& p, std::int64_t first) {
  const std::int64_t n = p.op->weight.n_in, count = std::min(kFewColumns, p.op->weight.n_out - first);
  const auto* const w = static_cast<const typename Load::Type*>(p.op->weight.data) + first * n;
  float y[kX][kFewColumns], column[kX];
  for (std::int64_t b = 0; b < count; ++b) {
    if constexpr (kX == 1) {
      column[0] = dot<Load>(w + b * n, p.x(), n);
    } else {
      dots<Load, kX>(w + b * n, p.x(), n, column);
    }
    for (int a = 0; a < kX; ++a) y[a][b] = column[a];
  }
  for (int a = 0; a < kX; ++a) finish(*p.op, p.scaled, a, first, count, y[a]);
}

template <class Load>
void few_rows(const Product& p, std::int64_t first) {
  switch (p.rows()) {
    case 1:
      return few_rows<Load, 1>(p, first);
    case 2:
      return few_rows<Load, 2>(p, first);
    case 3:
      return few_rows<Load, 3>(p, first);
    case 4:
      return few_rows<Load, 4>(p, first);
    case 5:
      return few_rows<Load, 5>(p, first);
    case 6:
      return few_rows<Load, 6>(p, first);
    case 7:
      return few_rows<Load, 7>(p, first);
    case 8:
      return few_rows<Load, 8>(p, first);
  }
}

// Rows [row, row + rows) of columns [first, first + count), from c [count, kMostRows], transposed.
void finish_block(const Product& p, const float* c, std::int64_t row, std::int64_t rows, std::int64_t first,
                  std::int64_t count) {
  constexpr std::int64_t kAtOnce = 16;
  alignas(64) float y[kAtOnce][kBf16Block];
  for (std::int64_t r = 0; r < rows; r += kAtOnce) {
    const std::int64_t some = std::min(kAtOnce, rows - r);
    transpose(c + r, kMostRows, count, some, y[0], kBf16Block);
    for (std::int64_t i = 0; i < some; ++i) finish(*p.op, p.scaled, row + r + i, first, count, y[i]);
  }
}

// Columns [first, first + kBlock) for many rows, in float32.
template <class Load>
void many_rows(const Product& p, std::int64_t first) {
  constexpr std::int64_t kStride = kDepth + 16;  // not a multiple of 4 KiB, so that the rows do not compete for the same lines
  const std::int64_t n = p.op->weight.n_in, count = std::min(kBlock, p.op->weight.n_out - first), width = p.panel_width();
  const auto* const w = static_cast<const typename Load::Type*>(p.op->weight.data) + first * n;
  alignas(64) float a[kBlock * kStride], c[kBlock * kMostRows];
  for (std::int64_t row = 0; row < p.rows(); row += kMostRows) {
    const std::int64_t rows = std::min(kMostRows, p.rows() - row);
    std::fill_n(c, kBlock * kMostRows, 0.0f);
    for (std::int64_t k = 0; k < n; k += kDepth) {
      const std::int64_t depth = std::min(kDepth, n - k);
      for (std::int64_t i = 0; i < count; ++i) widen<Load>(w + i * n + k, depth, a + i * kStride);
      for (std::int64_t r = 0; r < rows; r += width) {
        const auto* const b = reinterpret_cast<const float*>(p.panels + (row + r) / width * p.panel_bytes()) + k * width;
        for (std::int64_t i = 0; i < count; i += kRows) {
          rows_times_panel<kStride>(a + i * kStride, b, depth, c + i * kMostRows + r, kMostRows);
        }
      }
    }
    finish_block(p, c, row, rows, first, count);
  }
}

// Columns [first, first + kBf16Block) for many rows, x rounded to bfloat16.
void many_rows_bf16(const Product& p, std::int64_t first) {
  constexpr std::int64_t kStride = kBf16Depth + 32;
  const Bf16Kernel& kernel = *p.bf16;
  const std::int64_t n = p.op->weight.n_in, count = std::min(p.columns(), p.op->weight.n_out - first);
  const std::int64_t padded = (count + kernel.step_n - 1) / kernel.step_n * kernel.step_n;
  const auto* const w = static_cast<const std::uint16_t*>(p.op->weight.data) + first * n;
  alignas(64) std::uint16_t copied[kBf16Block * kStride];
  alignas(64) float c[kBf16Block * kMostRows];
  kernel.begin();
  for (std::int64_t row = 0; row < p.rows(); row += kMostRows) {
    const std::int64_t rows = std::min(kMostRows, p.rows() - row);
    for (std::int64_t k = 0; k < n; k += kBf16Depth) {
      const std::int64_t there = std::min(kBf16Depth, n - k), depth = (there + 31) / 32 * 32;
      Bf16Block block{.a = w + k, .lda = n, .n = padded, .depth = depth, .c = c, .ldc = kMostRows};
      if (padded != count || depth != there) {
        for (std::int64_t i = 0; i < padded; ++i) {
          std::uint16_t* const to = copied + i * kStride;
          const std::int64_t some = i < count ? there : 0;
          std::copy_n(w + i * n + k, some, to);
          std::fill(to + some, to + depth, std::uint16_t{0});
        }
        block.a = copied;
        block.lda = kStride;
      }
      for (std::int64_t r = 0; r < rows; r += kPanel) {
        const std::byte* const panel = p.panels + (row + r) / kPanel * p.panel_bytes();
        block.m = std::min(kPanel, rows - r);
        block.c = c + r;
        for (std::int64_t plane = 0; plane < p.planes(); ++plane) {
          block.b = reinterpret_cast<const std::uint32_t*>(panel + plane * p.plane_bytes()) + k / 2 * kPanel;
          block.add = k > 0 || plane > 0;
          kernel.multiply(block);
        }
      }
    }
    finish_block(p, c, row, rows, first, count);
  }
  kernel.end();
}

void multiply(const Product& p, std::int64_t task) {
  const std::int64_t first = task * p.columns();
  if (p.bf16) return many_rows_bf16(p, first);
  with_load(p.op->weight.type,
            [&](auto load) HWY_ATTR { p.panels ? many_rows<decltype(load)>(p, first) : few_rows<decltype(load)>(p, first); });
}

// Calls body(product, task) for all tasks of all products, `count(product)` of each.
template <class Count, class Body>
void for_all(ThreadPool& pool, std::span<const Product> products, const Count& count, const Body& body) {
  std::int64_t all = 0;
  for (const Product& p : products) all += count(p);
  pool.parallel_for(all, [&](std::int64_t task) {
    const Product* p = products.data();
    for (; task >= count(*p); ++p) task -= count(*p);
    body(*p, task);
  });
}

// Gives every product of many rows its panels; those with the same x share them.
void pack(ThreadPool& pool, std::span<Product> products, std::byte* memory) {
  for (Product& p : products) {
    if (p.rows() <= kFewRows) continue;
    for (const Product& other : products) {
      if (other.panels && other.same_panels(p)) p.panels = other.panels;
    }
    if (p.panels) continue;
    p.panels = memory;
    p.packs = true;
    memory += p.n_panels() * p.panel_bytes();
  }
  for_all(
      pool, products, [](const Product& p) { return p.packs ? p.n_panels() : 0; }, pack_panel);
}

void matmul(Device& device, std::span<const MatMul> group) {
  auto& cpu = static_cast<CpuDevice&>(device);
  std::vector<Product> products(group.begin(), group.end());
  std::int64_t bytes = 0;
  for (const Product& p : products) bytes += p.rows() > kFewRows ? p.n_panels() * p.panel_bytes() : 0;
  Buffer scratch = bytes ? cpu.take_scratch(static_cast<std::size_t>(bytes)) : Buffer();
  if (bytes) pack(cpu.pool(), products, static_cast<std::byte*>(scratch.data()));
  for_all(
      cpu.pool(), products, [](const Product& p) { return p.tasks(); }, multiply);
  if (bytes) cpu.give_scratch(std::move(scratch));
}

MatMulKernels kernels() { return {matmul, hwy::TargetName(HWY_TARGET), kernel_for_bf16() != nullptr}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
MatMulKernels matmul_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
