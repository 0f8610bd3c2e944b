// SPDX-License-Identifier: Apache-2.0
// Which kernel a product has, and which products share a launch.
#include "kernels/cuda/matmul.h"

#include <bit>

#include "kernels/cuda/product.h"

namespace rwkv::cuda {
namespace {

constexpr std::int64_t kMostFewRows = 16;  // of x: bound by reading W

Product to_product(const MatMul& op) {
  const Matrix& w = op.weight;
  Product p{};
  p.x = op.x.data, p.w = w.data, p.out = op.out.data, p.bias = op.bias, p.gate = op.gate;
  p.mx = w.mx, p.rx = w.rx, p.my = w.my, p.ry = w.ry, p.scale = w.scale;
  p.n_row = static_cast<int>(op.x.n_row), p.n_in = static_cast<int>(w.n_in), p.n_out = static_cast<int>(w.n_out);
  p.activation = op.activation, p.add = op.add;
  const std::int64_t row_bytes = bytes_of(w.type, w.input_major ? w.n_out : w.n_in);
  p.aligned = (reinterpret_cast<std::uintptr_t>(w.data) | static_cast<std::uintptr_t>(row_bytes)) % 16 == 0;
  return p;
}

enum class Kernel { matvec, tiled };

// What the products of a launch have in common.
struct Kind {
  Kernel kernel;
  DType type;
  bool input_major;
  std::int64_t rows;  // at most
  bool operator==(const Kind&) const = default;
};

Kind kind_of(const MatMul& op) {
  const Matrix& w = op.weight;
  const bool few = op.x.n_row <= kMostFewRows && !w.input_major;
  const auto rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(op.x.n_row)));
  return {few ? Kernel::matvec : Kernel::tiled, w.type, w.input_major, few ? rows : INT64_MAX};
}

void launch_products(cudaStream_t stream, const Kind& kind, Products& products) {
  switch (kind.kernel) {
    case Kernel::matvec:
      return matvec(stream, kind.type, products);
    case Kernel::tiled:
      return matmul_tiled(stream, kind.type, kind.input_major, products);
  }
}

}  // namespace

void matmul(cudaStream_t stream, Scratch&, std::span<const MatMul> group) {
  std::uint64_t done = 0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (done >> i & 1u || group[i].x.n_row == 0) continue;
    const Kind kind = kind_of(group[i]);
    Products products{};
    for (std::size_t j = i; j < group.size() && products.n < kMostProducts; ++j) {
      if (done >> j & 1u || group[j].x.n_row == 0 || kind_of(group[j]) != kind) continue;
      products.product[products.n++] = to_product(group[j]);
      done |= std::uint64_t{1} << j;
    }
    launch_products(stream, kind, products);
  }
}

}  // namespace rwkv::cuda
