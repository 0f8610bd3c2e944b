// SPDX-License-Identifier: Apache-2.0
// Products of many rows in float32: of float32 matrices, and of bf16 and i4 on cards whose tensor cores lack bfloat16. A block
// of 256 threads makes 64 rows of 64 numbers, 4 x 4 a thread, from tiles of 16 along the input in shared memory. Bound by
// arithmetic: an estimated 50% of float32's peak.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256, kEach = 4;

template <DType type, bool input_major>
__global__ void __launch_bounds__(kThreads) tiled_kernel(const __grid_constant__ Products products) {
  if constexpr (type != DType::f32 && kMultipliesBf16) return;
  // Rows of 68: of a row of x a warp writes 16 numbers along the depth and no two to one bank.
  SHARED_ARRAY(float, xs, [kDepth][kTile + 4]);
  SHARED_ARRAY(float, ws, [kDepth][kTile + 4]);
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int block = static_cast<int>(blockIdx.x) - p.first_block, n_tile = (p.n_row + kTile - 1) / kTile;
  const int first_row = block % n_tile * kTile, first_column = block / n_tile * kTile;
  const int thread = static_cast<int>(threadIdx.x), my_row = thread / 16 * kEach, my_column = thread % 16 * kEach;
  float sum[kEach][kEach] = {};
  for (int k0 = 0; k0 < p.n_in; k0 += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += kThreads) {
      const int row = i / kDepth, k = i % kDepth;
      const bool inside = first_row + row < p.n_row && k0 + k < p.n_in;
      xs[k][row] = inside ? p.x[std::int64_t{first_row + row} * p.n_in + k0 + k] : 0.0f;
    }
    for (int i = thread; i < kTile * kDepth; i += kThreads) {
      const int column = input_major ? i % kTile : i / kDepth, k = input_major ? i / kTile : i % kDepth;
      const bool inside = first_column + column < p.n_out && k0 + k < p.n_in;
      ws[k][column] = inside ? weight_at<type, input_major>(p, first_column + column, k0 + k) : 0.0f;
    }
    __syncthreads();
    UNROLL for (int k = 0; k < kDepth; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&xs[k][my_row]),
                   b = *reinterpret_cast<const float4*>(&ws[k][my_column]);
      const float x[kEach] = {a.x, a.y, a.z, a.w}, w[kEach] = {b.x, b.y, b.z, b.w};
      UNROLL for (int r = 0; r < kEach; ++r) { UNROLL for (int c = 0; c < kEach; ++c) sum[r][c] += x[r] * w[c]; }
    }
    __syncthreads();
  }
  UNROLL for (int r = 0; r < kEach; ++r) {
    UNROLL for (int c = 0; c < kEach; ++c) {
      const int row = first_row + my_row + r, column = first_column + my_column + c;
      if (row < p.n_row && column < p.n_out) finish(p, row, column, sum[r][c]);
    }
  }
}

}  // namespace

void matmul_tiled(cudaStream_t stream, DType type, bool input_major, Products& products) {
  int blocks = 0;
  for (Product& p : std::span(products.product, products.n)) {
    p.first_block = blocks;
    blocks += (p.n_row + kTile - 1) / kTile * ((p.n_out + kTile - 1) / kTile);
  }
  with_type(type, [&](auto t) {
    if constexpr (t() != DType::f16 && t() != DType::i8) {  // all cards have tensor cores for them
      const auto kernel = input_major ? tiled_kernel<t(), true> : tiled_kernel<t(), false>;
      launch({static_cast<unsigned>(blocks), kThreads, 0, stream}, kernel, products);
    }
  });
}

}  // namespace rwkv::cuda
