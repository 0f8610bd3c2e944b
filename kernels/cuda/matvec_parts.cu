// SPDX-License-Identifier: Apache-2.0
// Products of 1 to 16 rows of x with input-major matrices. Rows of W^T whose x is 0 in all (up to 8) rows are not read: of
// ffn.value 86 to 90% for one row, so the launch reads that much less. An estimated 60 to 70% of the card's bandwidth for what
// is left, as it is little: 8 MB of 33.6 for n_embd 4096.
//
// A block has a part of the input, 256 rows of W^T, and a tile of 256 columns: it lists the rows whose x is not 0, its warps
// take the rows of the list in turn, each thread 8 columns, and their sums are added in the order of the warps. Of the blocks
// of a tile the last one to come adds the parts, in their order: results do not depend on which block that is. Scratch: sums
// [n_part, n_row, n_out], for i8 the three sums of x (matvec.cu) [n_tile, n_part, n_row, 3], written and read once from the
// second-level cache. Registers of one row (sm_90): f16 and bf16 53, i4 54, i8 63, f32 64: four blocks to a multiprocessor.
#include <algorithm>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kPart = kThreads;                 // a thread looks at one number of each row of x
constexpr int kWidth = 8, kTile = 32 * kWidth;  // columns of a thread and of a block
constexpr int kMostRows = 8;                    // of x in a block
constexpr int kAhead = 4;                       // rows of W^T on their way to a thread

// Column c of a lane, within the tile: those of four bytes of i4 are in two runs.
template <DType type>
__device__ int column_of(int lane, int c) {
  return type == DType::i4 ? lane / 4 * 32 + lane % 4 * 4 + c % 4 + c / 4 * 16 : lane * kWidth + c;
}

// The 8 columns of a thread in one row of W^T, as they lie in memory.
template <DType type>
struct Eight {
  uint4 raw[type == DType::f32 ? 2 : 1];
  uint2 scale[type == DType::i4 ? 2 : 1];

  // column: the first one.
  __device__ void load(const Product& p, int k, int column) {
    const std::int64_t at = std::int64_t{k} * p.n_out + column;
    const auto* const bytes = static_cast<const char*>(p.w);
    if constexpr (type == DType::f32) {
      for (int i = 0; i < 2; ++i) raw[i] = __ldcs(reinterpret_cast<const uint4*>(bytes + at * 4) + i);
    } else if constexpr (type == DType::i8) {
      const uint2 eight = __ldcs(reinterpret_cast<const uint2*>(bytes + at));
      raw[0].x = eight.x, raw[0].y = eight.y;
    } else if constexpr (type == DType::i4) {
      raw[0].x = __ldcs(reinterpret_cast<const unsigned*>(bytes + at / 32 * 16 + at % 32));
      const std::uint16_t* const scales = p.scale + std::int64_t{k / 32} * p.n_out + column;
      for (int i = 0; i < 2; ++i) scale[i] = __ldg(reinterpret_cast<const uint2*>(scales + 16 * i));
    } else {
      raw[0] = __ldcs(reinterpret_cast<const uint4*>(bytes + at * 2));
    }
  }

  __device__ void get(float (&w)[kWidth]) const {
    UNROLL for (int half = 0; half < 2; ++half) {
      const float4 four = quad_of<type>(raw[type == DType::f32 ? half : 0], type == DType::f32 ? 0 : half);
      w[4 * half] = four.x, w[4 * half + 1] = four.y, w[4 * half + 2] = four.z, w[4 * half + 3] = four.w;
      if constexpr (type == DType::i4) {
        const float2 a = pair_of<DType::bf16>(scale[half].x), b = pair_of<DType::bf16>(scale[half].y);
        w[4 * half] *= a.x, w[4 * half + 1] *= a.y, w[4 * half + 2] *= b.x, w[4 * half + 3] *= b.y;
      }
    }
  }
};

// The three sums of a part of each row of x, of which this thread has numbers k.
template <int rows>
__device__ void sum_x(const Product& p, const float (&x)[rows], int k, int n_row, float* to) {
  SHARED_ARRAY(float, of_warp, [kWarps][3 * rows]);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  UNROLL for (int r = 0; r < rows; ++r) {
    const bool used = x[r] != 0.0f;
    const float sums[3] = {warp_sum(x[r]), warp_sum(used ? x[r] * p.my[k] : 0.0f), warp_sum(used ? x[r] * p.ry[k] : 0.0f)};
    for (int s = 0; s < 3 && lane == 0; ++s) of_warp[warp][3 * r + s] = sums[s];
  }
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= 3 * n_row) return;
  float total = 0.0f;
  for (int w = 0; w < kWarps; ++w) total += of_warp[w][thread];
  to[thread] = total;
}

template <DType type, int rows>
__global__ void __launch_bounds__(kThreads) parts_kernel(const __grid_constant__ Products products) {
  SHARED_ARRAY(float, xs, [rows][kPart]);  // of the list
  SHARED_ARRAY(int, list, [kPart]);
  SHARED_ARRAY(int, counts, [kWarps]);
  SHARED_ARRAY(float, of_warp, [kWarps][kTile]);
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  int block = static_cast<int>(blockIdx.x) - p.first_block;
  const int n_tile = divided_up(p.n_out, kTile), n_part = divided_up(p.n_in, kPart);
  const int tile = block % n_tile * kTile;
  block /= n_tile;
  const int part = block % n_part, first_row = block / n_part * rows, n_row = min(rows, p.n_row - first_row);
  const std::int64_t stride = std::int64_t{p.n_row} * p.n_out;  // from a part to the next
  float* const sums = static_cast<float*>(p.scratch);
  float* const of_x = sums + n_part * stride + std::int64_t{tile / kTile} * n_part * p.n_row * 3;

  take_over();
  const int my_k = part * kPart + thread;
  float x[rows];
  bool used = false;
  UNROLL for (int r = 0; r < rows; ++r) {
    x[r] = r < n_row && my_k < p.n_in ? p.x[std::int64_t{first_row + r} * p.n_in + my_k] : 0.0f;
    used |= x[r] != 0.0f;
  }
  if constexpr (type == DType::i8) sum_x<rows>(p, x, my_k, n_row, of_x + 3 * (std::int64_t{part} * p.n_row + first_row));
  const unsigned votes = __ballot_sync(kWholeWarp, used);
  if (lane == 0) counts[warp] = __popc(votes);
  __syncthreads();
  int n_used = 0, at = __popc(votes & ((1u << lane) - 1));
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) at += counts[w];
    n_used += counts[w];
  }
  if (used) {
    list[at] = my_k;
    const float scale = type == DType::i8 ? p.ry[my_k] : 1.0f;
    UNROLL for (int r = 0; r < rows; ++r) xs[r][at] = x[r] * scale;
  }
  __syncthreads();

  float sum[rows][kWidth] = {};
  const int column = tile + column_of<type>(lane, 0);
  const bool whole = p.aligned && p.n_out % kWidth == 0;
  if (whole && column < p.n_out) {
    for (int first = warp; first < n_used; first += kAhead * kWarps) {
      Eight<type> ahead[kAhead];
      UNROLL for (int i = 0; i < kAhead; ++i) {
        if (first + i * kWarps < n_used) ahead[i].load(p, list[first + i * kWarps], column);
      }
      UNROLL for (int i = 0; i < kAhead; ++i) {
        if (first + i * kWarps >= n_used) continue;
        float w[kWidth];
        ahead[i].get(w);
        UNROLL for (int r = 0; r < rows; ++r) {
          const float x_k = xs[r][first + i * kWarps];
          UNROLL for (int c = 0; c < kWidth; ++c) sum[r][c] += x_k * w[c];
        }
      }
    }
  } else if (type != DType::i4 && !whole) {
    for (int i = warp; i < n_used; i += kWarps) {
      UNROLL for (int c = 0; c < kWidth; ++c) {
        if (column + c >= p.n_out) continue;
        const float w = number_at<type>(p.w, std::int64_t{list[i]} * p.n_out + column + c);
        UNROLL for (int r = 0; r < rows; ++r) sum[r][c] += xs[r][i] * w;
      }
    }
  }

  for (int r = 0; r < rows; ++r) {
    if (r >= n_row) break;
    UNROLL for (int c = 0; c < kWidth; ++c) {
      float mine = sum[0][c];
      UNROLL for (int i = 1; i < rows; ++i) mine = r == i ? sum[i][c] : mine;
      of_warp[warp][column_of<type>(lane, c)] = mine;
    }
    __syncthreads();
    float total = 0.0f;
    for (int w = 0; w < kWarps; ++w) total += of_warp[w][thread];
    if (tile + thread < p.n_out) {
      sums[part * stride + std::int64_t{first_row + r} * p.n_out + tile + thread] = total;
    }
    __syncthreads();
  }

  unsigned* const counter = p.counters + block / n_part * n_tile + tile / kTile;
  if (!is_last(counter, n_part) || tile + thread >= p.n_out) return;
  for (int r = 0; r < n_row; ++r) {
    const float* const mine = sums + std::int64_t{first_row + r} * p.n_out + tile + thread;
    float y = 0.0f;
    UNROLL_BY(8)
    for (int i = 0; i < n_part; ++i) y += __ldcg(mine + i * stride);
    if constexpr (type == DType::i8) {
      float total[3] = {};
      for (int i = 0; i < n_part; ++i) {
        UNROLL for (int s = 0; s < 3; ++s) total[s] += __ldcg(of_x + 3 * (std::int64_t{i} * p.n_row + first_row + r) + s);
      }
      y = sum_of_i8(p, tile + thread, y, total[2], total[1], total[0]);
    }
    finish(p, first_row + r, tile + thread, y);
  }
}

template <DType type, int rows>
void launch_rows(cudaStream_t stream, Products& products) {
  int blocks = 0;
  for (Product& p : std::span(products.product, products.n)) {
    p.first_block = blocks;
    blocks += divided_up(p.n_out, kTile) * divided_up(p.n_in, kPart) * divided_up(p.n_row, rows);
  }
  launch({static_cast<unsigned>(blocks), kThreads, 0, stream, can_overlap()}, parts_kernel<type, rows>, products);
}

}  // namespace

std::size_t matvec_parts_bytes(const MatMul& op) {
  const std::int64_t n_part = (op.weight.n_in + kPart - 1) / kPart, n_tile = (op.weight.n_out + kTile - 1) / kTile;
  return static_cast<std::size_t>(n_part * op.x.n_row * (op.weight.n_out + 3 * n_tile)) * sizeof(float);
}

std::size_t matvec_parts_counters(const MatMul& op) {
  return static_cast<std::size_t>((op.weight.n_out + kTile - 1) / kTile * op.x.n_row);
}

void matvec_parts(cudaStream_t stream, DType type, Products& products) {
  int rows = 0;
  for (const Product& p : std::span(products.product, products.n)) rows = std::max(rows, p.n_row);
  with_type(type, [&](auto t) {
    rows == 1   ? launch_rows<t(), 1>(stream, products)
    : rows == 2 ? launch_rows<t(), 2>(stream, products)
    : rows <= 4 ? launch_rows<t(), 4>(stream, products)
                : launch_rows<t(), kMostRows>(stream, products);
  });
}

}  // namespace rwkv::cuda
