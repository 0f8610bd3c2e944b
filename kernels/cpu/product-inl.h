// SPDX-License-Identifier: Apache-2.0
// One product of a group: how it is cut into tasks, its input, and what happens to its sums.
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_PRODUCT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_PRODUCT_INL
#undef RWKV_CPU_PRODUCT_INL
#else
#define RWKV_CPU_PRODUCT_INL
#endif

#include <algorithm>
#include <vector>

#include "kernels/cpu/bf16_x86.h"
#include "kernels/cpu/digits-inl.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

constexpr std::int64_t kFewRows = 8;
constexpr std::int64_t kFewColumns = 16;   // at once with few rows: of a task as many as make
constexpr std::int64_t kFewBytes = 65536;  // of W, so that claiming a task costs little beside it
constexpr std::int64_t kPartsRows = 16;    // of x, up to which an input-major matrix is added up row by row without tiles
constexpr std::int64_t kPart = 256;      // of a task of an input-major matrix: its rows, so that sums do not depend on threads
constexpr std::int64_t kBlock = 48;      // with many: rows of W in a block, a multiple of kRows,
constexpr std::int64_t kDepth = 256;     // numbers of each (float32: with a panel of x it fits the first-level cache)
constexpr std::int64_t kBf16Block = 64;  // the same for bfloat16
constexpr std::int64_t kBf16Depth = 1024;
constexpr std::int64_t kBf16Shallow =
    256;  // with several planes: they and a block of W fit the first-level cache; and of what is widened
// Rows up to which x is the sum of two bfloat16, 16 bits, so that sequences decoding together get the logits they get alone.
// More rows are a prompt: x is rounded once, 8 bits like the weights.
constexpr std::int64_t kTwoPlanes = 32;
constexpr std::int64_t kMostRows = 512;  // of x that one pass over W serves

constexpr std::int64_t kResultsAhead = 8;  // rows that finish() will need

// The input of an i8 matrix, prepared once per call (spec 2.9):
//   y[m] = rx[m] (sum_n x[n] ry[n] q[m, n] + sum_n x[n] ry[n] / 2) + sum_n x[n] my[n] + mx[m] sum_n x[n]
struct Scaled {
  std::vector<float> x;     // [R, n_in], times ry
  std::vector<float> sum;   // [R], of x
  std::vector<float> my;    // [R], sum of x my
  std::vector<float> half;  // [R], sum of x ry / 2
};

inline Scaled scale_input(const MatMul& op) {
  const std::int64_t n = op.x.n_col, rows = op.x.n_row;
  Scaled s{std::vector<float>(rows * n), std::vector<float>(rows), std::vector<float>(rows), std::vector<float>(rows)};
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* const x = op.x.data + r * n;
    float* const scaled = s.x.data() + r * n;
    for_vectors(n, [&](auto d, std::int64_t i)
                       HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, op.weight.ry + i)), d, scaled + i); });
    s.sum[r] = sum_vectors(n, [x](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); });
    s.my[r] = sum_vectors(
        n, [&](auto d, std::int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, op.weight.my + i)); });
    s.half[r] = 0.5f * sum_vectors(n, [scaled](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, scaled + i); });
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

// Asks for what finish() will read and write: rows are too far apart for the processor to see a pattern.
HWY_INLINE void prefetch_result(const MatMul& op, std::int64_t row, std::int64_t first, std::int64_t n) {
  if (row >= op.x.n_row) return;
  const std::int64_t at = row * op.out.n_col + first;
  for (std::int64_t i = 0; i < n; i += 16) {
    __builtin_prefetch(op.out.data + at + i, 1);
    if (op.gate) __builtin_prefetch(op.gate + at + i);
  }
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
      value = hn::MulAdd(hn::Add(value, hn::Set(d, scaled.half[row])), hn::LoadU(d, op.weight.rx + first + i), offset);
    }
    if (op.bias) value = hn::Add(value, hn::LoadU(d, op.bias + first + i));
    value = activate(d, op.activation, value);
    if (op.gate) value = hn::Mul(value, hn::LoadU(d, op.gate + at + i));
    if (op.add) value = hn::Add(value, hn::LoadU(d, out + i));
    hn::StoreU(value, d, out + i);
  });
}

// The instruction sets below AVX-512 are for machines that have no such kernel, and for tests.
inline const Bf16Kernel* kernel_for_bf16() { return HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 ? bf16_kernel() : nullptr; }

// Memory that is needed next, asked for piece by piece in its order: only then the prefetchers of the machine join in.
struct Coming {
  const char* at = nullptr;
  const char* end = nullptr;
  std::int64_t lines = 0;  // at a time

  Coming() = default;
  Coming(const void* from, std::int64_t bytes, std::int64_t times)
      : at(static_cast<const char*>(from)), end(at + bytes), lines((bytes + 64 * times - 1) / (64 * times)) {}
  void ask() {
    for (std::int64_t i = 0; i < lines && at < end; ++i, at += 64) __builtin_prefetch(at, 0, 2);
  }
  static void beside(void* coming) { static_cast<Coming*>(coming)->ask(); }
};

// One matrix of a group, and its input as the kernels want it.
struct Product {
  const MatMul* op;
  Scaled scaled;                     // i8 only
  Digits digits;                     // few rows of i8 and i4 only; of input-major ones i4 with VBMI
  const Bf16Kernel* bf16 = nullptr;  // the panels hold pairs of bfloat16
  std::byte* panels = nullptr;       // many rows: x, transposed
  bool packs = false;                // the first of the group with these panels
  // Input-major, in parts: [parts, rows, n_out]; of bfloat16 [parts, n_out / kPanel, panels of x, kPanel, kPanel], tiles.
  float* sums = nullptr;

  explicit Product(const MatMul& matmul) : op(&matmul) {
    const DType type = op->weight.type;
    if (type == DType::i8) scaled = scale_input(*op);
    if (rows() <= kFewRows) make_digits();
    if (rows() <= kFewRows || type == DType::f32 || type == DType::f16) return;
    bf16 = kernel_for_bf16();
    if (type == DType::i8 && bf16 && !bf16->beats_f32_thrice) bf16 = nullptr;
  }

  void make_digits() {
    const DType type = op->weight.type;
    const std::int64_t n = op->weight.n_in;
    if (op->weight.input_major) {
      if (type == DType::i4 && is_vbmi()) digits = digits_in_order(kTwoDigits, x(), rows(), n);
    } else {
      if (type == DType::i8) digits = digits_in_order(kThreeDigits, x(), rows(), n);
      if (type == DType::i4) digits = digits_for_i4(x(), rows(), n);
    }
  }

  [[nodiscard]] std::int64_t rows() const { return op->x.n_row; }
  [[nodiscard]] const float* x() const { return scaled.x.empty() ? op->x.data : scaled.x.data(); }
  [[nodiscard]] std::int64_t columns() const {
    if (rows() <= kFewRows) return few_columns();
    return !bf16 ? kBlock : turned() && n_panels() > 1 ? kBf16Block / 2 : kBf16Block;
  }
  [[nodiscard]] std::int64_t few_columns() const {
    const std::int64_t row_bytes = bytes_of(op->weight.type, op->weight.n_in);
    return std::max<std::int64_t>(1, kFewBytes / (kFewColumns * row_bytes)) * kFewColumns;
  }
  // Rows of W are tiles as they lie in memory, x is one or two panels of pairs.
  [[nodiscard]] bool turned() const { return bf16 && bf16->multiply_rows && rows() <= 2 * kPanel && !op->weight.input_major; }
  [[nodiscard]] PanelOrder order() const {
    return !turned() ? PanelOrder::rows : op->weight.type == DType::bf16 ? PanelOrder::pairs : PanelOrder::halves;
  }
  [[nodiscard]] std::int64_t tasks() const { return in_parts() ? parts() : (op->weight.n_out + columns() - 1) / columns(); }

  // An input-major matrix and not many rows: a task takes kPart rows of the matrix and adds them up.
  [[nodiscard]] bool in_parts() const {
    return op->weight.input_major && (bf16 ? bf16->multiply_columns && rows() <= 2 * kPanel : rows() <= kPartsRows);
  }
  [[nodiscard]] std::int64_t parts() const { return (op->weight.n_in + kPart - 1) / kPart; }
  [[nodiscard]] std::int64_t column_blocks() const { return (op->weight.n_out + kBf16Block - 1) / kBf16Block; }
  [[nodiscard]] std::int64_t finishing_tasks() const { return !in_parts() ? 0 : bf16 ? column_blocks() : rows(); }

  [[nodiscard]] std::int64_t part_sums() const {  // of each part, numbers
    return bf16 ? column_blocks() * kBf16Block * n_panels() * kPanel : rows() * op->weight.n_out;
  }
  [[nodiscard]] std::int64_t sum_bytes() const {  // whole cache lines
    return in_parts() ? (parts() * part_sums() * 4 + 63) / 64 * 64 : 0;
  }
  [[nodiscard]] bool has_panels() const { return rows() > kFewRows && (bf16 || !in_parts()); }
  [[nodiscard]] std::int64_t scratch_bytes() const { return sum_bytes() + (has_panels() ? n_panels() * panel_bytes() : 0); }

  [[nodiscard]] std::int64_t panel_width() const { return bf16 ? kPanel : panel_rows(rows()); }
  [[nodiscard]] std::int64_t n_panels() const { return (rows() + panel_width() - 1) / panel_width(); }
  [[nodiscard]] std::int64_t depth() const { return bf16 ? (op->weight.n_in + 31) / 32 * 32 : op->weight.n_in; }
  // i8 has the results of float32 at any number of rows, as its numbers are exact.
  [[nodiscard]] int planes() const { return !bf16 ? 1 : op->weight.type == DType::i8 ? 3 : rows() <= kTwoPlanes ? 2 : 1; }
  [[nodiscard]] std::int64_t bf16_depth() const {
    return planes() > 1 || op->weight.type != DType::bf16 ? kBf16Shallow : kBf16Depth;
  }
  [[nodiscard]] std::int64_t plane_bytes() const { return panel_width() * depth() * (bf16 ? 2 : 4); }
  [[nodiscard]] std::int64_t panel_bytes() const { return plane_bytes() * planes(); }
  [[nodiscard]] bool same_panels(const Product& other) const {
    return x() == other.x() && rows() == other.rows() && op->x.n_col == other.op->x.n_col && bf16 == other.bf16 &&
           planes() == other.planes() && order() == other.order();
  }
};

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
