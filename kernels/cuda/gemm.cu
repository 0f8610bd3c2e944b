// SPDX-License-Identifier: Apache-2.0
// Products of more than 64 rows of x on tensor cores: f16 and i8 as float16, bf16 and i4 (from sm_80 on) as bfloat16, sums in
// float32. An estimated 50% of the tensor cores' dense peak from 1,024 rows on, half of that for i8, whose x has two planes.
//
// A first launch makes 16-bit numbers of x (planes.h): one plane, for i8 the sum of two. i8 has x ry there, and its W is
// q - 128; what that lacks is made up for by sums of x (matvec.cu).
//
// In the second, a block makes a tile of the result: tiles of x and W, 32 along the input, come to shared memory one or two
// ahead of those that the warps multiply; W of i8 and i4 comes to registers meanwhile and is widened afterwards. If tiles are
// few, the input is in parts whose sums a third launch adds in order.
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

// Of x: i8 has all bits that matter, the others what their type has.
template <DType type>
constexpr int kPlanes = type == DType::i8 ? 2 : 1;

__host__ __device__ int padded(int n_in) { return divided_up(n_in, kDepth) * kDepth; }

// A product's scratch: x as 16-bit numbers [planes, n_row, padded(n_in)], 0 past n_in; then floats [n_row, 4]: what a sum has
// to be multiplied with, and the three sums of i8; then its Product::sums.
__host__ __device__ std::int64_t plane_numbers(const Product& p) { return std::int64_t{p.n_row} * padded(p.n_in); }
template <DType type>
__host__ __device__ float* row_facts(const Product& p) {
  return reinterpret_cast<float*>(static_cast<std::uint16_t*>(p.scratch) + kPlanes<type> * plane_numbers(p));
}

// A block for each row of x.
template <DType type>
__global__ void __launch_bounds__(kThreads) narrow_kernel(const __grid_constant__ Products products) {
  using T = Number<type>;
  SHARED_ARRAY(float, of_warp, [kWarps][4]);
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int row = static_cast<int>(blockIdx.x) - p.first_block, thread = static_cast<int>(threadIdx.x);
  const float* const x = p.x + std::int64_t{row} * p.n_in;
  const auto number = [&](int k) { return type == DType::i8 ? x[k] * p.ry[k] : x[k]; };
  float scale = 1.0f;
  if constexpr (std::is_same_v<T, __half>) {
    float largest = 0.0f, sums[3] = {};
    for (int k = thread; k < p.n_in; k += kThreads) {
      largest = fmaxf(largest, fabsf(number(k)));
      if constexpr (type == DType::i8) sums[0] += x[k], sums[1] += x[k] * p.my[k], sums[2] += number(k);
    }
    largest = warp_max(largest);
    for (float& sum : sums) sum = warp_sum(sum);
    if (thread % 32 == 0) {
      float* const to = of_warp[thread / 32];
      to[0] = largest, to[1] = sums[0], to[2] = sums[1], to[3] = sums[2];
    }
    __syncthreads();
    for (float& sum : sums) sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) {
      largest = fmaxf(largest, of_warp[w][0]);
      for (int s = 0; s < 3; ++s) sums[s] += of_warp[w][1 + s];
    }
    const int shift = float16_shift(largest);
    scale = power_of_two(shift);
    if (thread < 4) {
      row_facts<type>(p)[4 * row + thread] = thread == 0   ? power_of_two(-shift)
                                             : thread == 1 ? sums[0]
                                             : thread == 2 ? sums[1]
                                                           : sums[2];
    }
  }
  T* const to = static_cast<T*>(p.scratch) + std::int64_t{row} * padded(p.n_in);
  for (int k = thread; k < padded(p.n_in); k += kThreads) {
    const float scaled = k < p.n_in ? number(k) * scale : 0.0f;
    const T first = narrowed<T>(scaled);
    to[k] = first;
    if constexpr (kPlanes<type> == 2) {
      to[k + plane_numbers(p)] = narrowed<T>(rest_of(scaled, widened(first)));
    }
  }
}

// Element [row, column] of the result, from the sum over what was multiplied.
template <DType type>
__device__ void finish_sum(const Product& p, int row, int column, float y) {
  if constexpr (std::is_same_v<Number<type>, __half>) {
    const float* const facts = row_facts<type>(p) + 4 * row;
    y *= facts[0];
    if constexpr (type == DType::i8) y = sum_of_i8(p, column, y, facts[3], facts[2], facts[1]);
  }
  finish(p, row, column, y);
}

// Tiles of x [planes, rows, kRow] and of W [columns, kRow] or [kDepth, kAcross] in shared memory, in units of eight numbers.
// f16 and bf16 are copied there; i8 and i4 are on their way to registers while a tile is multiplied, and widened afterwards.
template <DType type, bool input_major, class Shape>
struct Tiles {
  using T = Number<type>;
  static constexpr bool kWidens = type == DType::i8 || type == DType::i4;
  static constexpr int kBlock = 32 * Shape::warps_down * Shape::warps_across;
  static constexpr int kRow = kDepth + kPad, kAcross = Shape::columns + kPad;
  static constexpr int kX = kPlanes<type> * Shape::rows * kRow;
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

  // Those of a thread, of i8 and i4, as they are stored. Of i4 a scale for all, or eight.
  struct Stored {
    uint2 q[kWidens ? kOwn : 1];
    uint4 scales[type == DType::i4 ? kOwn : 1];
  };

  // From k on to xs and, of f16 and bf16, ws. Rows that are not there are copies of the last: what they give is not used.
  static __device__ void bring(const Product& p, int first_row, int first_column, int k, T* xs, T* ws) {
    const auto* const x = static_cast<const T*>(p.scratch);
    for (int i = static_cast<int>(threadIdx.x); i < kPlanes<type> * Shape::rows * kUnits; i += kBlock) {
      const int unit = i % kUnits * 8, line = i / kUnits, plane = line / Shape::rows;
      const int row = min(first_row + line % Shape::rows, p.n_row - 1);
      cp_async<16>(xs + line * kRow + unit, x + plane * plane_numbers(p) + std::int64_t{row} * padded(p.n_in) + k + unit);
    }
    if constexpr (!kWidens) {
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
  }

  static __device__ void load(const Product& p, int first_column, int k, Stored& stored) {
    UNROLL for (int own = 0; own < kOwn; ++own) {
      const Unit unit(p, first_column, k, own);
      const auto* const bytes = static_cast<const std::uint8_t*>(p.w);
      const std::int64_t at = unit.at(p);
      uint2& q = stored.q[own];
      q = {};
      if constexpr (type == DType::i4) {  // which has all eight or none
        stored.scales[own] = {};
        if (unit.n == 0) continue;
        q = *reinterpret_cast<const uint2*>(bytes + at / 32 * 16 + at % 16);
        if constexpr (input_major) {
          stored.scales[own] = *reinterpret_cast<const uint4*>(p.scale + std::int64_t{unit.k / 32} * p.n_out + unit.column);
        } else {
          stored.scales[own].x = p.scale[at / 32];
        }
      } else if (unit.n == 8 && p.aligned) {
        q = *reinterpret_cast<const uint2*>(bytes + at);
      } else {
        UNROLL for (int i = 0; i < 8; ++i) {
          if (i < unit.n) (i < 4 ? q.x : q.y) |= static_cast<unsigned>(bytes[at + i]) << 8 * (i % 4);
        }
      }
    }
  }

  static __device__ void widen(const Product& p, int first_column, int k, const Stored& stored, T* ws) {
    UNROLL for (int own = 0; own < kOwn; ++own) {
      const Unit unit(p, first_column, k, own);
      uint2 q = stored.q[own];
      alignas(16) T eight[8];
      if (type == DType::i4 && (input_major ? unit.column : unit.k) % 32 >= 16) q.x >>= 4, q.y >>= 4;
      UNROLL for (int i = 0; i < 8; ++i) {
        const unsigned word = i < 4 ? q.x : q.y;
        if constexpr (type == DType::i8) {
          eight[i] = narrowed<T>(byte_value(word, i % 4));
        } else {
          const float2 scales = pair_of<DType::bf16>(word_of(stored.scales[own], input_major ? i / 2 : 0));
          const unsigned codes = codes_of(i % 4 < 2 ? word : word >> 16);
          eight[i] = narrowed<T>(byte_value(codes, i % 2 * 2) * (input_major && i % 2 ? scales.y : scales.x));
        }
      }
      *reinterpret_cast<uint4*>(ws + unit.place) = *reinterpret_cast<const uint4*>(eight);
    }
  }
};

template <DType type, bool input_major, class Shape>
__global__ void __launch_bounds__(32 * Shape::warps_down * Shape::warps_across)
    gemm_kernel(const __grid_constant__ Products products) {
  using Tile = Tiles<type, input_major, Shape>;
  using T = Number<type>;
  constexpr int kDown = Shape::rows / Shape::warps_down / 16, kAcross = Shape::columns / Shape::warps_across / 16;
  constexpr int kStages = Shape::stages, kX = Tile::kX, kW = Tile::kW;
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

  typename Tile::Stored stored;
  const auto bring = [&](int tile) {
    if (tile < n_tile) {
      const int k = (first_tile + tile) * kDepth;
      Tile::bring(p, first_row, first_column, k, xs[tile % kStages], ws[tile % kStages]);
      if constexpr (Tile::kWidens) Tile::load(p, first_column, k, stored);
    }
    cp_async_commit();
  };
  const auto widen = [&](int tile) {
    if constexpr (Tile::kWidens) {
      if (tile < n_tile) Tile::widen(p, first_column, (first_tile + tile) * kDepth, stored, ws[tile % kStages]);
    }
  };
  float sum[kDown][2 * kAcross][4] = {};
  for (int tile = 0; tile < kStages - 1; ++tile) bring(tile), widen(tile);
  for (int tile = 0; tile < n_tile; ++tile) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // also: all are done with the tile that is overwritten now
    bring(tile + kStages - 1);
    const T* const x = xs[tile % kStages];
    const T* const w = ws[tile % kStages];
    UNROLL for (int k = 0; k < kDepth; k += 16) {
      unsigned a[kPlanes<type>][kDown][4];
      UNROLL for (int plane = 0; plane < kPlanes<type>; ++plane) {
        UNROLL for (int i = 0; i < kDown; ++i) {
          const int line = plane * Shape::rows + my_row + 16 * i + lane % 16;
          ldmatrix<4>(a[plane][i], x + line * Tile::kRow + k + lane / 16 * 8);
        }
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
          UNROLL for (int i = 0; i < kDown; ++i) {
            UNROLL for (int plane = 0; plane < kPlanes<type>; ++plane) mma_m16n8k16<T>(sum[i][2 * j + half], a[plane][i], pair);
          }
        }
      }
    }
    widen(tile + kStages - 1);
  }

  float* const part_sums = p.sums + std::int64_t{part} * p.n_row * p.n_out;
  UNROLL for (int i = 0; i < kDown; ++i) {
    UNROLL for (int j = 0; j < 2 * kAcross; ++j) {
      UNROLL for (int e = 0; e < 4; ++e) {
        const int row = first_row + my_row + 16 * i + lane / 4 + e / 2 * 8;
        const int column = first_column + my_column + 8 * j + lane % 4 * 2 + e % 2;
        if (row >= p.n_row || column >= p.n_out) continue;
        if (n_part > 1) {
          part_sums[std::int64_t{row} * p.n_out + column] = sum[i][j][e];
        } else {
          finish_sum<type>(p, row, column, sum[i][j][e]);
        }
      }
    }
  }
}

// Of products in parts: a block for each kAdded numbers of a row of the result.
constexpr int kAdded = 4 * kThreads;

template <DType type>
__global__ void __launch_bounds__(kThreads) add_parts_kernel(const __grid_constant__ Products products) {
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int block = static_cast<int>(blockIdx.x) - p.first_block, across = divided_up(p.n_out, kAdded), row = block / across;
  const int first = block % across * kAdded + static_cast<int>(threadIdx.x);
  const std::int64_t n = std::int64_t{p.n_row} * p.n_out;
  const float* const sums = p.sums + std::int64_t{row} * p.n_out;
  for (int column = first; column < min(first + kAdded, p.n_out); column += kThreads) {
    float y = 0.0f;
    for (int part = 0; part < p.parts; ++part) y += sums[part * n + column];
    finish_sum<type>(p, row, column, y);
  }
}

// So that a launch has some blocks for each of the multiprocessors of a large card.
constexpr int kManyBlocks = 128, kMostParts = 8, kFewestTiles = 8;

std::size_t planes_bytes(const MatMul& op, int planes) {
  const std::int64_t numbers = planes * op.x.n_row * gemm_x_stride(op);
  return static_cast<std::size_t>(numbers * 2 + 4 * op.x.n_row * 4);
}

int parts_for(int tile_rows, std::int64_t n_row, std::int64_t n_out, std::int64_t n_in) {
  const int columns = tile_rows == Large::rows ? Large::columns : Middle::columns;
  const std::int64_t blocks = (n_row + tile_rows - 1) / tile_rows * ((n_out + columns - 1) / columns);
  const std::int64_t parts = std::min((kManyBlocks + blocks - 1) / blocks, n_in / kDepth / kFewestTiles);
  return static_cast<int>(std::clamp<std::int64_t>(parts, 1, kMostParts));
}

std::span<Product> all_of(Products& products) { return {products.product, static_cast<std::size_t>(products.n)}; }

// Numbers the blocks of a launch: of_product(p) for each product.
template <class OfProduct>
unsigned number_blocks(Products& products, const OfProduct& of_product) {
  int n = 0;
  for (Product& p : all_of(products)) p.first_block = n, n += of_product(p);
  return static_cast<unsigned>(n);
}

// Products of the same rows share what the first of them has in its scratch; x of i8 depends on the matrix.
template <DType type>
void narrow(cudaStream_t stream, Products& products) {
  Products distinct{};
  for (Product& p : all_of(products)) {
    const auto made = all_of(distinct);
    const auto same = std::ranges::find_if(made, [&](const Product& other) {
      return type != DType::i8 && other.x == p.x && other.n_row == p.n_row && other.n_in == p.n_in;
    });
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
void add_parts(cudaStream_t stream, Products& products, int fewest_parts) {
  const unsigned blocks = number_blocks(
      products, [&](const Product& p) { return p.parts < fewest_parts ? 0 : p.n_row * divided_up(p.n_out, kAdded); });
  if (blocks > 0) launch({blocks, kThreads, 0, stream}, add_parts_kernel<type>, products);
}

template <DType type, bool input_major, class Shape>
void launch_shape(cudaStream_t stream, Products& products) {
  for (Product& p : all_of(products)) {
    p.parts = parts_for(Shape::rows, p.n_row, p.n_out, p.n_in);
    p.sums = row_facts<type>(p) + 4 * std::int64_t{p.n_row};
  }
  narrow<type>(stream, products);
  const unsigned tiles = number_blocks(products, [](const Product& p) {
    return divided_up(p.n_row, Shape::rows) * divided_up(p.n_out, Shape::columns) * p.parts;
  });
  constexpr int kBlock = 32 * Shape::warps_down * Shape::warps_across;
  launch({tiles, kBlock, 0, stream}, gemm_kernel<type, input_major, Shape>, products);
  add_parts<type>(stream, products, 2);
}

template <DType type, bool input_major>
void launch_type(cudaStream_t stream, int rows, Products& products) {
  if constexpr (type != DType::i8) {
    if (rows == Large::rows) return launch_shape<type, input_major, Large>(stream, products);
  }
  launch_shape<type, input_major, Middle>(stream, products);
}

}  // namespace

bool has_gemm(DType type) {
  if (type == DType::f32) return false;
  return type == DType::f16 || type == DType::i8 || code_capability() >= 80;
}

int gemm_tile_rows(const MatMul& op) {
  const Matrix& w = op.weight;
  const std::int64_t large = (op.x.n_row + Large::rows - 1) / Large::rows * ((w.n_out + Large::columns - 1) / Large::columns);
  return w.type == DType::i8 || 2 * large < kManyBlocks ? Middle::rows : Large::rows;
}

std::size_t gemm_bytes(const MatMul& op) {
  const Matrix& w = op.weight;
  const std::int64_t n_row = op.x.n_row, parts = parts_for(gemm_tile_rows(op), n_row, w.n_out, w.n_in);
  const std::size_t sums = parts > 1 ? static_cast<std::size_t>(parts * n_row * w.n_out) * sizeof(float) : 0;
  return planes_bytes(op, w.type == DType::i8 ? kPlanes<DType::i8> : 1) + sums;
}

void gemm(cudaStream_t stream, DType type, bool input_major, int rows, Products& products) {
  with_type(type, [&](auto t) {
    if constexpr (t() != DType::f32) {
      input_major ? launch_type<t(), true>(stream, rows, products) : launch_type<t(), false>(stream, rows, products);
    }
  });
}

std::size_t gemm_plane_bytes(const MatMul& op) { return planes_bytes(op, 1); }
int gemm_x_stride(const MatMul& op) { return padded(static_cast<int>(op.weight.n_in)); }

void gemm_narrow(cudaStream_t stream, DType type, Products& products) {
  type == DType::f16 ? narrow<DType::f16>(stream, products) : narrow<DType::bf16>(stream, products);
}

void gemm_finish(cudaStream_t stream, DType type, Products& products) {
  type == DType::f16 ? add_parts<DType::f16>(stream, products, 1) : add_parts<DType::bf16>(stream, products, 1);
}

}  // namespace rwkv::cuda
