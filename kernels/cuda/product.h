// SPDX-License-Identifier: Apache-2.0
// The products of one launch as its kernel gets them, and what all kernels of products do: which product a block has, and what
// follows a sum.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

namespace rwkv::cuda {

struct Product {
  const float* x;     // [n_row, n_in]
  const void* w;      // of the types and layouts in kernels/tensor.h, as all below
  float* out;         // [n_row, n_out]
  const float* bias;  // or null
  const float* gate;  // or null
  const float *mx, *rx, *my, *ry;
  const std::uint16_t* scale;
  void* scratch;       // what the kernel says
  unsigned* counters;  // matvec_parts, gemm_batch: 0 before and afterwards
  float* sums;         // gemm: [parts, n_row, out_stride]; gemm_batch: [tiles of 128 columns, parts, n_row, 128]
  int n_row, n_in, n_out;
  int out_stride;  // n_out; of a slice, some columns of a larger product, that one's: from row to row of out, gate and W^T
  int first_block;
  union {
    int lanes;  // matvec: threads that share a row of W
    int parts;  // gemm, gemm_batch: of the input
  };
  Activation activation;
  DType type;
  bool add;
  bool aligned;  // the rows of w begin at multiples of 16 bytes
  bool input_major;
};

// By value in a kernel's parameters, which may have 4 KB. Without padding: GCC 12 (tests) clears more than that.
constexpr int kMostProducts = 16;
struct Products {
  Product product[kMostProducts];
  std::int64_t n;
};
static_assert(std::has_unique_object_representations_v<Products> && sizeof(Products) <= 4096);

__host__ __device__ inline int divided_up(int n, int by) { return (n + by - 1) / by; }

Product to_product(const MatMul& op);  // without scratch

// The one that block `block` of the grid works for.
__device__ inline const Product& product_of(const Products& products, int block) {
  int p = 0;
  while (p + 1 < products.n && block >= products.product[p + 1].first_block) ++p;
  return products.product[p];
}

__device__ inline float activate(Activation activation, float y) {
  switch (activation) {
    case Activation::none:
      return y;
    case Activation::tanh:
      return tanhf(y);
    case Activation::sigmoid:
      return 1.0f / (1.0f + expf(-y));
    case Activation::silu:
      return y / (1.0f + expf(-y));
    case Activation::relu_squared:
      return y < 0.0f ? 0.0f : y * y;  // NaN stays
  }
  return y;
}

__device__ inline float activated(const Product& p, int column, float y) {
  return activate(p.activation, p.bias ? y + p.bias[column] : y);
}

// Writes element [row, column] of the result from the sum x W^T.
__device__ inline void finish(const Product& p, int row, int column, float y) {
  const std::int64_t at = std::int64_t{row} * p.out_stride + column;
  y = activated(p, column, y);
  if (p.gate) y *= p.gate[at];
  if (p.add) y += p.out[at];
  p.out[at] = y;
}

// The same for columns [column, column + 4), those that are there. All is read before anything is written: no read waits for
// another.
__device__ inline void finish_four(const Product& p, int row, int column, const float4& sums) {
  const std::int64_t at = std::int64_t{row} * p.out_stride + column;
  const int n = p.n_out - column;
  float y[4] = {sums.x, sums.y, sums.z, sums.w}, gate[4], before[4];
  UNROLL for (int c = 0; c < 4; ++c) {
    gate[c] = p.gate && c < n ? p.gate[at + c] : 1.0f;
    before[c] = p.add && c < n ? p.out[at + c] : 0.0f;
  }
  UNROLL for (int c = 0; c < 4; ++c) y[c] = c < n ? activated(p, column + c, y[c]) : 0.0f;
  UNROLL for (int c = 0; c < 4; ++c) {
    if (c < n) p.out[at + c] = y[c] * gate[c] + before[c];
  }
}

// The sum x W^T of an i8 matrix from that over x ry (q - 128), and the sums of x ry, of x my and of x.
__device__ inline float sum_of_i8(const Product& p, int column, float y, float of_ry, float of_my, float of_x) {
  return p.rx[column] * (y + 128.5f * of_ry) + of_my + p.mx[column] * of_x;
}

// A kernel for each type of weights: body(std::integral_constant<DType, type>()).
template <class Body>
void with_type(DType type, const Body& body) {
  switch (type) {
    case DType::f32:
      return body(std::integral_constant<DType, DType::f32>());
    case DType::f16:
      return body(std::integral_constant<DType, DType::f16>());
    case DType::bf16:
      return body(std::integral_constant<DType, DType::bf16>());
    case DType::i8:
      return body(std::integral_constant<DType, DType::i8>());
    case DType::i4:
      return body(std::integral_constant<DType, DType::i4>());
  }
}

// The launchers of the kernels; products of one type and layout. Each sets first_block.

// Matrices as in a checkpoint, at most 16 rows of x, of f16 and i8 8; of at most kMostMixedRows also products of several types,
// as more would need more registers than most of the types.
constexpr int kMostMixedRows = 2;
void matvec(cudaStream_t stream, Products& products);

// Input-major ones, at most 16 rows of x; scratch: of matvec_parts_bytes each, and as many counters.
std::size_t matvec_parts_bytes(const MatMul& op);
std::size_t matvec_parts_counters(const MatMul& op);
void matvec_parts(cudaStream_t stream, DType type, Products& products);

// 9 rows to as many as a batch of sequences has, of which a block has all; scratch: of gemm_batch_bytes each, and as many
// counters. The products of a launch have the same gemm_batch_rows, 16, 32 or 64.
constexpr std::int64_t kMostRowsOfBatch = 64;
int gemm_batch_rows(const MatMul& op);
std::size_t gemm_batch_bytes(const MatMul& op);
std::size_t gemm_batch_counters(const MatMul& op);
void gemm_batch(cudaStream_t stream, DType type, bool input_major, int rows, Products& products);

// More rows, in three steps (many_rows.cu): x becomes 16-bit numbers, gemm or cuBLASLt multiplies them with W, the last does
// what follows a sum for products that have p.sums. Those of a launch are all f16, or all bf16; the first takes i8 and i4 as
// f16. scratch: of gemm_x_bytes each, which products of the same rows of x share after the first step. sums: null where gemm
// has one part, and does what follows itself. The products of its launch have the same gemm_tile_rows.
std::size_t gemm_x_bytes(const Product& p);
int gemm_x_stride(const Product& p);  // numbers from row to row
int gemm_tile_rows(const Product& p);
int gemm_parts(const Product& p);
void gemm_narrow(cudaStream_t stream, DType type, Products& products);
void gemm(cudaStream_t stream, DType type, bool input_major, int rows, Products& products);
void gemm_finish(cudaStream_t stream, DType type, Products& products);

// W of i8 or i4 as float16 to scratch, aligned to 16 bytes: [n_out, n_in], input-major [n_in, n_out], without gaps.
void widen(cudaStream_t stream, DType type, bool input_major, Products& products);

// Whether the current device has tensor cores for W of a type and so many rows of x, 9 or more.
bool has_tensor_cores(DType type, std::int64_t n_row);

// Where it has none: more than 16 rows.
void matmul_tiled(cudaStream_t stream, DType type, bool input_major, Products& products);

}  // namespace rwkv::cuda
