// SPDX-License-Identifier: Apache-2.0
// Which kernel a product has, and which products share a launch.
#include "kernels/cuda/matmul.h"

#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/cuda/code.h"
#include "kernels/cuda/many_rows.h"
#include "kernels/cuda/product.h"

namespace rwkv::cuda {
namespace {

// Rows of x whose sums float32 arithmetic makes while W is read: of more rows tensor cores do, where the card has those of the
// type.
constexpr std::int64_t kMostFewRows = 16, kMostFewRowsOfTensorCores = 8;

enum class Kernel { matvec, parts, batch, many, tiled };

// What the products of a launch have in common.
struct Kind {
  Kernel kernel;
  std::optional<DType> type;  // none: any
  bool input_major;
  std::int64_t rows;  // of x, at most; batch: of its tiles
  bool operator==(const Kind&) const = default;
};

Kind kind_of(const MatMul& op) {
  const Matrix& w = op.weight;
  const std::int64_t n_row = op.x.n_row;
  if (n_row > kMostFewRowsOfTensorCores && has_tensor_cores(w.type, n_row)) {
    if (n_row <= kMostRowsOfBatch) return {Kernel::batch, w.type, w.input_major, gemm_batch_rows(op)};
    return {Kernel::many, std::nullopt, false, 0};
  }
  if (n_row > kMostFewRows) return {Kernel::tiled, w.type, w.input_major, 0};
  const auto rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n_row)));
  if (w.input_major) return {Kernel::parts, w.type, true, rows};
  return {Kernel::matvec, rows > kMostMixedRows ? std::optional(w.type) : std::nullopt, false, rows};
}

void launch_products(cudaStream_t stream, const Kind& kind, Products& products) {
  switch (kind.kernel) {
    case Kernel::matvec:
      return matvec(stream, products);
    case Kernel::parts:
      return matvec_parts(stream, *kind.type, products);
    case Kernel::batch:
      return gemm_batch(stream, *kind.type, kind.input_major, static_cast<int>(kind.rows), products);
    case Kernel::tiled:
      return matmul_tiled(stream, *kind.type, kind.input_major, products);
    case Kernel::many:
      break;  // of ManyRows
  }
}

std::size_t n_counter(const MatMul& op) {
  const Kernel kernel = kind_of(op).kernel;
  return kernel == Kernel::parts ? matvec_parts_counters(op) : kernel == Kernel::batch ? gemm_batch_counters(op) : 0;
}

std::size_t many_rows_bytes(const MatMul& op) {
  ManyRows alone(nullptr, nullptr);
  alone.add(op);
  return alone.bytes();
}

// The products of a group whose kind is that of the first one left, which are taken from `left`.
Products take(std::vector<const MatMul*>& left, std::byte*& scratch, unsigned*& counters) {
  Products products{};
  const Kind kind = kind_of(*left.front());
  std::erase_if(left, [&](const MatMul* op) {
    if (products.n == kMostProducts || kind_of(*op) != kind) return false;
    Product& p = products.product[products.n++];
    p = to_product(*op);
    if (const std::size_t bytes = scratch_bytes(*op)) p.scratch = std::exchange(scratch, scratch + bytes);
    if (const std::size_t n = n_counter(*op)) p.counters = std::exchange(counters, counters + n);
    return true;
  });
  return products;
}

}  // namespace

bool has_tensor_cores(DType type, std::int64_t n_row) {
  if (type == DType::f32) return false;
  const bool as_bf16 = type == DType::bf16 || (type == DType::i4 && n_row <= kMostRowsOfBatch);
  return !as_bf16 || code_capability() >= 80;
}

Product to_product(const MatMul& op) {
  const Matrix& w = op.weight;
  Product p{};
  p.x = op.x.data, p.w = w.data, p.out = op.out.data, p.bias = op.bias, p.gate = op.gate;
  p.mx = w.mx, p.rx = w.rx, p.my = w.my, p.ry = w.ry, p.scale = w.scale;
  p.n_row = static_cast<int>(op.x.n_row), p.n_in = static_cast<int>(w.n_in), p.n_out = static_cast<int>(w.n_out);
  p.out_stride = p.n_out;
  p.type = w.type, p.activation = op.activation, p.add = op.add, p.input_major = w.input_major;
  const std::int64_t row_bytes = bytes_of(w.type, w.input_major ? w.n_out : w.n_in);
  p.aligned = (reinterpret_cast<std::uintptr_t>(w.data) | static_cast<std::uintptr_t>(row_bytes)) % 16 == 0;
  return p;
}

std::size_t scratch_bytes(const MatMul& op) {
  const Kernel kernel = kind_of(op).kernel;
  const std::size_t bytes = kernel == Kernel::parts   ? matvec_parts_bytes(op)
                            : kernel == Kernel::batch ? gemm_batch_bytes(op)
                            : kernel == Kernel::many  ? many_rows_bytes(op)
                                                      : 0;
  return (bytes + 255) / 256 * 256;
}

void matmul(cudaStream_t stream, Scratch& scratch, std::span<const MatMul> group, Cublas* cublas) {
  std::vector<const MatMul*> left;
  ManyRows many(stream, cublas);
  std::size_t bytes = 0, counters = 0;
  for (const MatMul& op : group) {
    if (op.x.n_row == 0) continue;
    if (kind_of(op).kernel == Kernel::many) {
      many.add(op);
      continue;
    }
    left.push_back(&op);
    bytes += scratch_bytes(op), counters += n_counter(op);
  }
  bytes += many.bytes();
  std::optional<Scratch::Use> use;
  try {
    if (bytes > 0) use.emplace(scratch.use(stream, bytes, counters));
  } catch (const OutOfMemoryError&) {
    if (!many.uses_cublas()) throw;
    return matmul(stream, scratch, group, nullptr);  // what our own kernels take was reserved
  }
  auto* at = use ? static_cast<std::byte*>(use->data()) : nullptr;
  unsigned* counter = use ? use->counters() : nullptr;
  while (!left.empty()) {
    const Kind kind = kind_of(*left.front());
    Products products = take(left, at, counter);
    launch_products(stream, kind, products);
  }
  const auto refused = many.launch(at);
  use.reset();
  for (const MatMul* const op : refused) matmul(stream, scratch, {op, 1});
}

}  // namespace rwkv::cuda
