// SPDX-License-Identifier: Apache-2.0
// Products of more than 64 rows of x on tensor cores, as float16 or, from sm_80 on, bfloat16, sums in float32. An estimated 50%
// of the tensor cores' dense peak from 1,024 rows on. many_rows.cu says what is in front of them, and what may take their
// place.
//
// A first launch makes 16-bit numbers of x, one plane (planes.h): 4 bytes read, 2 written of each. In the second a block makes
// a tile of the result: tiles of x and W, 32 along the input, come to shared memory one or two ahead of those that the warps
// multiply. The sums become rows by way of shared memory, so that a warp reads and writes 128 bytes of each of four rows at once
// for what follows them. If tiles are few, the input is in parts, whose sums a third launch adds in order before it does that.
#include <algorithm>
#include <ranges>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {
namespace {

constexpr int kDepth = 32;  // numbers along the input in a tile
constexpr int kPad = 8;     // after each row of a tile: the 8 rows that ldmatrix reads at once are in different banks
constexpr int kThreads = 256, kWarps = kThreads / 32;

// Of a block: its tile, its warps, and how many tiles of x and W shared memory has.
struct Middle {
  static constexpr int rows = 64, columns = 64, warps_down = 2, warps_across = 2, stages = 3;
};
struct Large {
  static constexpr int rows = 128, columns = 128, warps_down = 2, warps_across = 4, stages = 2;
};

__host__ __device__ int padded(int n_in) { return divided_up(n_in, kDepth) * kDepth; }

// A product's scratch: x as 16-bit numbers [n_row, padded(n_in)], 0 past n_in; then of float16 what a sum has to be multiplied
// with, floats [n_row].
__host__ __device__ std::int64_t plane_numbers(const Product& p) { return std::int64_t{p.n_row} * padded(p.n_in); }
__device__ float* row_scales(const Product& p) {
  return reinterpret_cast<float*>(static_cast<std::uint16_t*>(p.scratch) + plane_numbers(p));
}

// A block for each row of x.
template <DType type>
__global__ void __launch_bounds__(kThreads) narrow_kernel(const __grid_constant__ Products products) {
  using T = Number<type>;
  SHARED_ARRAY(float, of_warp, [kWarps]);
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int row = static_cast<int>(blockIdx.x) - p.first_block, thread = static_cast<int>(threadIdx.x);
  const float* const x = p.x + std::int64_t{row} * p.n_in;
  float scale = 1.0f;
  if constexpr (type == DType::f16) {
    float largest = 0.0f;
    for (int k = thread; k < p.n_in; k += kThreads) largest = fmaxf(largest, fabsf(x[k]));
    largest = warp_max(largest);
    if (thread % 32 == 0) of_warp[thread / 32] = largest;
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) largest = fmaxf(largest, of_warp[w]);
    const int shift = float16_shift(largest);
    scale = power_of_two(shift);
    if (thread == 0) row_scales(p)[row] = power_of_two(-shift);
  }
  T* const to = static_cast<T*>(p.scratch) + std::int64_t{row} * padded(p.n_in);
  for (int k = thread; k < padded(p.n_in); k += kThreads) to[k] = narrowed<T>(k < p.n_in ? x[k] * scale : 0.0f);
}

// What a sum of that row has to be multiplied with.
template <DType type>
__device__ float row_scale(const Product& p, int row) {
  return type == DType::f16 ? row_scales(p)[row] : 1.0f;
}

// Tiles of x [rows, kRow] and of W [columns, kRow] or [kDepth, kAcross] in shared memory, in units of eight numbers.
template <DType type, bool input_major, class Shape>
struct Tiles {
  using T = Number<type>;
  static constexpr int kBlock = 32 * Shape::warps_down * Shape::warps_across;
  static constexpr int kRow = kDepth + kPad, kAcross = Shape::columns + kPad;
  static constexpr int kX = Shape::rows * kRow;
  static constexpr int kW = input_major ? kDepth * kAcross : Shape::columns * kRow;
  static constexpr int kUnits = kDepth / 8, kUnitsAcross = Shape::columns / 8, kOwn = kDepth * kUnitsAcross / kBlock;

  // Eight neighbours of W and where they belong: column and number along the input of the first, of the matrix, and in a tile.
  struct Unit {
    int column, k, n, place;  // n: that are there
    __device__ Unit(const Product& p, int first_column, int first_k, int own) {
      const int i = static_cast<int>(threadIdx.x) + own * kBlock;
      const int unit = i % (input_major ? kUnitsAcross : kUnits) * 8, line = i / (input_major ? kUnitsAcross : kUnits);
      column = first_column + (input_major ? unit : line), k = first_k + (input_major ? line : unit);
      place = line * (input_major ? kAcross : kRow) + unit;
      n = column >= p.n_out || k >= p.n_in ? 0 : min(8, input_major ? p.n_out - column : p.n_in - k);
    }
    [[nodiscard]] __device__ std::int64_t at(const Product& p) const {
      return input_major ? std::int64_t{k} * p.n_out + column : std::int64_t{column} * p.n_in + k;
    }
  };

  // From k on. Rows of x that are not there are copies of the last: what they give is not used.
  static __device__ void bring(const Product& p, int first_row, int first_column, int k, T* xs, T* ws) {
    const auto* const x = static_cast<const T*>(p.scratch);
    for (int i = static_cast<int>(threadIdx.x); i < Shape::rows * kUnits; i += kBlock) {
      const int unit = i % kUnits * 8, line = i / kUnits, row = min(first_row + line, p.n_row - 1);
      cp_async<16>(xs + line * kRow + unit, x + std::int64_t{row} * padded(p.n_in) + k + unit);
    }
    UNROLL for (int own = 0; own < kOwn; ++own) {
      const Unit unit(p, first_column, k, own);
      const T* const from = static_cast<const T*>(p.w) + unit.at(p);
      T* const to = ws + unit.place;
      if (unit.n == 8 && p.aligned) {
        cp_async<16>(to, from);
      } else {
        for (int i = 0; i < 8; ++i) to[i] = i < unit.n ? from[i] : narrowed<T>(0.0f);
      }
    }
  }
};

template <DType type, bool input_major, class Shape>
__global__ void __launch_bounds__(32 * Shape::warps_down * Shape::warps_across)
    gemm_kernel(const __grid_constant__ Products products) {
  using Tile = Tiles<type, input_major, Shape>;
  using T = Number<type>;
  constexpr int kDown = Shape::rows / Shape::warps_down / 16, kAcross = Shape::columns / Shape::warps_across / 16;
  constexpr int kStages = Shape::stages, kX = Tile::kX, kW = Tile::kW, kBlock = Tile::kBlock;
  SHARED_ARRAY(T, xs, [kStages][kX]);
  SHARED_ARRAY(T, ws, [kStages][kW]);
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  int block = static_cast<int>(blockIdx.x) - p.first_block;
  const int down = divided_up(p.n_row, Shape::rows), across = divided_up(p.n_out, Shape::columns), n_part = p.parts;
  const int first_row = block % down * Shape::rows, first_column = block / down % across * Shape::columns;
  const int part = block / down / across, n_all = divided_up(p.n_in, kDepth);
  const int first_tile = part * n_all / n_part, n_tile = (part + 1) * n_all / n_part - first_tile;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int my_row = warp / Shape::warps_across * kDown * 16, my_column = warp % Shape::warps_across * kAcross * 16;

  const auto bring = [&](int tile) {
    if (tile < n_tile) {
      const int k = (first_tile + tile) * kDepth;
      Tile::bring(p, first_row, first_column, k, xs[tile % kStages], ws[tile % kStages]);
    }
    cp_async_commit();
  };
  float sum[kDown][2 * kAcross][4] = {};
  for (int tile = 0; tile < kStages - 1; ++tile) bring(tile);
  for (int tile = 0; tile < n_tile; ++tile) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // also: all are done with the tile that is overwritten now
    bring(tile + kStages - 1);
    const T* const x = xs[tile % kStages];
    const T* const w = ws[tile % kStages];
    UNROLL for (int k = 0; k < kDepth; k += 16) {
      unsigned a[kDown][4];
      UNROLL for (int i = 0; i < kDown; ++i) {
        ldmatrix<4>(a[i], x + (my_row + 16 * i + lane % 16) * Tile::kRow + k + lane / 16 * 8);
      }
      UNROLL for (int j = 0; j < kAcross; ++j) {
        unsigned b[4];
        const int column = my_column + 16 * j + lane / 16 * 8, at_k = k + lane / 8 % 2 * 8;
        if constexpr (input_major) {
          ldmatrix<4, true>(b, w + (at_k + lane % 8) * Tile::kAcross + column);
        } else {
          ldmatrix<4>(b, w + (column + lane % 8) * Tile::kRow + at_k);
        }
        UNROLL for (int half = 0; half < 2; ++half) {
          const unsigned pair[2] = {b[2 * half], b[2 * half + 1]};
          UNROLL for (int i = 0; i < kDown; ++i) mma_m16n8k16<T>(sum[i][2 * j + half], a[i], pair);
        }
      }
    }
  }

  // Fragments become rows in shared memory, 16 of a warp at a time; from there on a lane has four columns of every fourth row.
  __syncthreads();
  constexpr int kStagedRow = 16 * kAcross + kPad;
  static_assert(kAcross == 2 && kBlock / 32 * 16 * kStagedRow * sizeof(float) <= sizeof(xs));
  float* const staged = reinterpret_cast<float*>(xs) + warp * 16 * kStagedRow;
  float* const part_sums = p.sums + std::int64_t{part} * p.n_row * p.out_stride;
  const int column = first_column + my_column + lane % 8 * 4;
  UNROLL for (int i = 0; i < kDown; ++i) {
    UNROLL for (int j = 0; j < 2 * kAcross; ++j) {
      float* const to = staged + lane / 4 * kStagedRow + 8 * j + lane % 4 * 2;
      *reinterpret_cast<float2*>(to) = {sum[i][j][0], sum[i][j][1]};
      *reinterpret_cast<float2*>(to + 8 * kStagedRow) = {sum[i][j][2], sum[i][j][3]};
    }
    __syncwarp();
    UNROLL_BY(1)
    for (int r = lane / 8; r < 16; r += 4) {
      const int row = first_row + my_row + 16 * i + r;
      if (row >= p.n_row) break;
      float4 y = *reinterpret_cast<const float4*>(staged + r * kStagedRow + lane % 8 * 4);
      if (p.sums) {
        float* const to = part_sums + std::int64_t{row} * p.out_stride + column;
        const float four[4] = {y.x, y.y, y.z, y.w};
        UNROLL for (int c = 0; c < 4; ++c) {
          if (column + c < p.n_out) to[c] = four[c];
        }
      } else {
        const float scale = row_scale<type>(p, row);
        y.x *= scale, y.y *= scale, y.z *= scale, y.w *= scale;
        finish_four(p, row, column, y);
      }
    }
    __syncwarp();
  }
}

// Of products with sums: a block for each kAdded numbers of a row of the result.
constexpr int kAdded = 4 * kThreads;

template <DType type>
__global__ void __launch_bounds__(kThreads) finish_kernel(const __grid_constant__ Products products) {
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int block = static_cast<int>(blockIdx.x) - p.first_block, across = divided_up(p.n_out, kAdded), row = block / across;
  const int first = block % across * kAdded + static_cast<int>(threadIdx.x);
  const std::int64_t n = std::int64_t{p.n_row} * p.out_stride;
  const float* const sums = p.sums + std::int64_t{row} * p.out_stride;
  for (int column = first; column < min(first + kAdded, p.n_out); column += kThreads) {
    float y = 0.0f;
    for (int part = 0; part < p.parts; ++part) y += sums[part * n + column];
    finish(p, row, column, y * row_scale<type>(p, row));
  }
}

// So that a launch has some blocks for each of the multiprocessors of a large card.
constexpr int kManyBlocks = 128, kMostParts = 8, kFewestTiles = 8;

std::span<Product> all_of(Products& products) { return {products.product, static_cast<std::size_t>(products.n)}; }

// Numbers the blocks of a launch: of_product(p) for each product.
template <class OfProduct>
unsigned number_blocks(Products& products, const OfProduct& of_product) {
  int n = 0;
  for (Product& p : all_of(products)) p.first_block = n, n += of_product(p);
  return static_cast<unsigned>(n);
}

// Products of the same rows share what the first of them has in its scratch.
template <DType type>
void narrow(cudaStream_t stream, Products& products) {
  Products distinct{};
  for (Product& p : all_of(products)) {
    const auto made = all_of(distinct);
    const auto same = std::ranges::find_if(
        made, [&](const Product& other) { return other.x == p.x && other.n_row == p.n_row && other.n_in == p.n_in; });
    if (same == made.end()) {
      distinct.product[distinct.n++] = p;
    } else {
      p.scratch = same->scratch;
    }
  }
  const unsigned rows = number_blocks(distinct, [](const Product& p) { return p.n_row; });
  launch({rows, kThreads, 0, stream}, narrow_kernel<type>, distinct);
}

template <DType type>
void finish_sums(cudaStream_t stream, Products& products) {
  const unsigned blocks =
      number_blocks(products, [](const Product& p) { return p.sums ? p.n_row * divided_up(p.n_out, kAdded) : 0; });
  if (blocks > 0) launch({blocks, kThreads, 0, stream}, finish_kernel<type>, products);
}

template <DType type, bool input_major, class Shape>
void launch_shape(cudaStream_t stream, Products& products) {
  const unsigned tiles = number_blocks(products, [](const Product& p) {
    return divided_up(p.n_row, Shape::rows) * divided_up(p.n_out, Shape::columns) * p.parts;
  });
  constexpr int kBlock = 32 * Shape::warps_down * Shape::warps_across;
  launch({tiles, kBlock, 0, stream}, gemm_kernel<type, input_major, Shape>, products);
}

template <DType type, bool input_major>
void launch_type(cudaStream_t stream, int rows, Products& products) {
  rows == Large::rows ? launch_shape<type, input_major, Large>(stream, products)
                      : launch_shape<type, input_major, Middle>(stream, products);
}

}  // namespace

int gemm_x_stride(const Product& p) { return padded(p.n_in); }

std::size_t gemm_x_bytes(const Product& p) {
  return static_cast<std::size_t>(plane_numbers(p)) * sizeof(std::uint16_t) + static_cast<std::size_t>(p.n_row) * sizeof(float);
}

int gemm_tile_rows(const Product& p) {
  const int large = divided_up(p.n_row, Large::rows) * divided_up(p.n_out, Large::columns);
  return 2 * large < kManyBlocks ? Middle::rows : Large::rows;
}

int gemm_parts(const Product& p) {
  const int rows = gemm_tile_rows(p), columns = rows == Large::rows ? Large::columns : Middle::columns;
  const int blocks = divided_up(p.n_row, rows) * divided_up(p.n_out, columns);
  return std::clamp(std::min(divided_up(kManyBlocks, blocks), p.n_in / kDepth / kFewestTiles), 1, kMostParts);
}

void gemm_narrow(cudaStream_t stream, DType type, Products& products) {
  type == DType::f16 ? narrow<DType::f16>(stream, products) : narrow<DType::bf16>(stream, products);
}

void gemm(cudaStream_t stream, DType type, bool input_major, int rows, Products& products) {
  if (type == DType::f16) {
    input_major ? launch_type<DType::f16, true>(stream, rows, products)
                : launch_type<DType::f16, false>(stream, rows, products);
  } else {
    input_major ? launch_type<DType::bf16, true>(stream, rows, products)
                : launch_type<DType::bf16, false>(stream, rows, products);
  }
}

void gemm_finish(cudaStream_t stream, DType type, Products& products) {
  type == DType::f16 ? finish_sums<DType::f16>(stream, products) : finish_sums<DType::bf16>(stream, products);
}

}  // namespace rwkv::cuda
