// SPDX-License-Identifier: Apache-2.0
// Products of 9 to 64 rows of x on tensor cores in one launch, as sequences that are decoded together have: f16 and i8 as
// float16, bf16 and i4 (from sm_80 on) as bfloat16, sums in float32. An estimated 75% of the bandwidth for f16; of 32 rows,
// where x has two planes, 40% for i8 and 23% for i4, whose tensor cores and x take longer than their W.
//
// A block has 128 columns of the result and up to 512 numbers along the input. Tiles of W come as they are stored
// (stored_tile.h), 32 KB ahead of the one that is multiplied and before the kernel in front has ended; the block's part of x
// becomes planes (planes.h) in shared memory, once. Of the 8 warps each has 32 columns and half of each tile. Where the input
// is in parts, the last block of 128 columns to come adds their sums, in order. i8 has x ry there, and its W is q - 128; what
// that lacks is made up for by sums of x (matvec.cu).
//
// Bytes moved: W once; through the second-level cache 4 bytes of each number of x for each 128 columns, and sums [parts, rows,
// n_out], written and read: 17 and 8 MB beside 34 of f16, 17 of i8 and 9 of i4 for 8192 x 2048 and 32 rows. Two blocks to a
// multiprocessor (up to 128 registers and 110 KB of shared memory each) have 64 KB of W on their way, where 4.3 TB/s and
// 700 ns ask for 23. Of that product's 11 us x takes 3 to come, of which W uses 2, and the last parts 1.5.
#include <algorithm>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/stored_tile.h"
#include "kernels/cuda/warp.h"

namespace rwkv::cuda {
namespace {

constexpr int kStages = 5;  // tiles of W
constexpr int kThreads = 256, kWarpsAcross = 4, kWarps = kThreads / 32;
constexpr int kColumns = 128, kWarpColumns = kColumns / kWarpsAcross;
constexpr int kPad = 8;  // numbers after each row of x, and of sums: neighbouring rows are in different banks

// Numbers along the input in a tile, of each type.
constexpr int depth_of(DType type) { return type == DType::i4 ? 128 : type == DType::i8 ? 64 : 32; }
constexpr int tile_bytes(DType type) { return 8192 + (type == DType::i4 ? 1024 : 16); }

// Rows of x in a block: of a product that has so many.
int rows_for(std::int64_t n_row) { return n_row <= 16 ? 16 : n_row <= 32 ? 32 : 64; }
constexpr int planes_for(DType type, int rows) { return type == DType::i8 || rows <= kMostTwoPlanes ? 2 : 1; }
// Most numbers along the input in a block, so that its part of x takes 64 KB.
constexpr int most_depth(int rows, int planes) { return rows * planes > 64 ? 256 : 512; }

template <DType type, bool input_major, int rows>
struct Block {
  using T = Number<type>;
  using Tile = StoredTile<type, input_major>;
  static constexpr int kPlanes = planes_for(type, rows), kOwn = rows / kWarps;  // rows of x that a warp narrows
  static constexpr int kAtOnce = kOwn < 4 ? kOwn : type == DType::i8 ? 2 : 4, kFours = most_depth(rows, kPlanes) / 128;
  static_assert(Tile::kDepth == depth_of(type) && Tile::kColumns == kColumns && sizeof(Tile) == tile_bytes(type));

  // What a sum has to be multiplied with, and of i8 the sums of x, of x my and of x ry (matvec.cu), of each row.
  using Facts = float[rows][4];

  __device__ static float4 four_of(const float* x, int k, int n, bool aligned) {
    if (aligned && k < n) return *reinterpret_cast<const float4*>(x + k);
    return {k < n ? x[k] : 0.0f, k + 1 < n ? x[k + 1] : 0.0f, k + 2 < n ? x[k + 2] : 0.0f, k + 3 < n ? x[k + 3] : 0.0f};
  }

  // Numbers [k0, k0 + depth) of all rows to xs [kPlanes, rows, depth + kPad], 0 for what is not there. A warp has whole rows,
  // of which all that it reads at once is on its way before it looks at the first.
  __device__ static void narrow_x(const Product& p, int k0, int depth, T* xs, Facts& facts) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int n = min(depth, p.n_in - k0);
    std::uintptr_t places = reinterpret_cast<std::uintptr_t>(p.x) | static_cast<unsigned>(p.n_in) * sizeof(float);
    if (type == DType::i8) places |= reinterpret_cast<std::uintptr_t>(p.my) | reinterpret_cast<std::uintptr_t>(p.ry);
    const bool aligned = places % 16 == 0;
    UNROLL_BY(1)
    for (int first = 0; first < kOwn; first += kAtOnce) {
      float4 x[kAtOnce][kFours];
      UNROLL for (int r = 0; r < kAtOnce; ++r) {
        const int row = warp + (first + r) * kWarps;
        const float* const from = p.x + std::int64_t{row} * p.n_in + k0;
        UNROLL for (int i = 0; i < kFours; ++i) x[r][i] = four_of(from, 4 * lane + 128 * i, row < p.n_row ? n : 0, aligned);
      }
      float sums[kAtOnce][3] = {};
      if constexpr (type == DType::i8) {
        UNROLL for (int i = 0; i < kFours; ++i) {
          const int k = 4 * lane + 128 * i;
          const float4 my = four_of(p.my + k0, k, n, aligned), ry = four_of(p.ry + k0, k, n, aligned);
          UNROLL for (int r = 0; r < kAtOnce; ++r) {
            float4& four = x[r][i];
            sums[r][0] += four.x + four.y + four.z + four.w;
            sums[r][1] += four.x * my.x + four.y * my.y + four.z * my.z + four.w * my.w;
            four.x *= ry.x, four.y *= ry.y, four.z *= ry.z, four.w *= ry.w;
            sums[r][2] += four.x + four.y + four.z + four.w;
          }
        }
      }
      UNROLL for (int r = 0; r < kAtOnce; ++r) {
        const int row = warp + (first + r) * kWarps;
        float scale = 1.0f;
        if constexpr (std::is_same_v<T, __half>) {
          float largest = 0.0f;
          for (const float4& four : x[r]) {
            largest = fmaxf(fmaxf(largest, fmaxf(fabsf(four.x), fabsf(four.y))), fmaxf(fabsf(four.z), fabsf(four.w)));
          }
          const int shift = float16_shift(warp_max(largest));
          scale = power_of_two(shift);
          if constexpr (type == DType::i8) {
            for (float& sum : sums[r]) sum = warp_sum(sum);
          }
          if (lane == 0) {
            facts[row][0] = power_of_two(-shift);
            for (int s = 0; s < 3; ++s) facts[row][1 + s] = sums[r][s];
          }
        }
        UNROLL for (int i = 0; i < kFours; ++i) {
          if (4 * lane + 128 * i < depth) store(x[r][i], scale, row, 4 * lane + 128 * i, depth, xs);
        }
      }
    }
  }

  __device__ static void store(const float4& x, float scale, int row, int k, int depth, T* xs) {
    const float four[4] = {x.x * scale, x.y * scale, x.z * scale, x.w * scale};
    unsigned planes[2][2];
    UNROLL for (int i = 0; i < 2; ++i) {
      const float a = four[2 * i], b = four[2 * i + 1];
      planes[0][i] = narrowed<T>(a, b);
      const float2 first = widened<T>(planes[0][i]);
      planes[1][i] = narrowed<T>(rest_of(a, first.x), rest_of(b, first.y));
    }
    UNROLL for (int plane = 0; plane < kPlanes; ++plane) {
      T* const to = xs + (plane * rows + row) * (depth + kPad);
      if constexpr (Tile::kTurnsX) {
        UNROLL for (int i = 0; i < 2; ++i) * reinterpret_cast<unsigned*>(to + Tile::place_of(k + 2 * i)) = planes[plane][i];
      } else {
        *reinterpret_cast<uint2*>(to + k) = {planes[plane][0], planes[plane][1]};
      }
    }
  }

  // The four columns of the result from `column` on, of the sum over part of the input.
  __device__ static float4 of_part(const Product& p, float4 y, int column, const float (&facts)[4]) {
    if constexpr (!std::is_same_v<T, __half>) return y;
    float four[4] = {y.x, y.y, y.z, y.w};
    UNROLL for (int c = 0; c < 4; ++c) {
      four[c] *= facts[0];
      if constexpr (type == DType::i8) {
        if (column + c < p.n_out) four[c] = sum_of_i8(p, column + c, four[c], facts[3], facts[2], facts[1]);
      }
    }
    return {four[0], four[1], four[2], four[3]};
  }
};

// Blocks that a multiprocessor shall have room for, where that needs no spills on any card.
template <DType type, bool input_major, int rows>
constexpr int kBlocks = rows == 64 && type == (input_major ? DType::i8 : DType::i4) ? 1 : 2;

template <DType type, bool input_major, int rows>
__global__ void __launch_bounds__(kThreads, (kBlocks<type, input_major, rows>))
    batch_kernel(const __grid_constant__ Products products) {
  using B = Block<type, input_major, rows>;
  using T = typename B::T;
  using Tile = typename B::Tile;
  constexpr int kDepth = Tile::kDepth, kStep = Tile::kStep, kDown = rows / 16, kPlanes = B::kPlanes, kRow = kColumns + kPad;
  [[maybe_unused]] constexpr int kSteps = rows == 64 && Tile::kWidens ? 1 : kDepth / 2 / kStep;  // at once: more would spill
  DYN_SHARED(Tile, tiles);  // [kStages], then x; in the end sums [rows, kRow]
  SHARED_ARRAY(float, facts, [rows][4]);
  static_assert(rows * kRow * sizeof(float) <= kStages * sizeof(Tile));
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const int block = static_cast<int>(blockIdx.x) - p.first_block, across = divided_up(p.n_out, kColumns), n_part = p.parts;
  const int first_column = block % across * kColumns, part = block / across, n_all = divided_up(p.n_in, kDepth);
  const int first_tile = part * n_all / n_part, n_tile = (part + 1) * n_all / n_part - first_tile;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int my_column = warp % kWarpsAcross * kWarpColumns, my_k = warp / kWarpsAcross * kDepth / 2;
  T* const xs = reinterpret_cast<T*>(tiles + kStages);
  const int stride = n_tile * kDepth + kPad;

  const auto bring = [&](int tile) {
    if (tile < n_tile) tiles[tile % kStages].template bring<kThreads>(p, first_column, (first_tile + tile) * kDepth);
    cp_async_commit();
  };
  for (int tile = 0; tile < kStages - 1; ++tile) bring(tile);  // before the kernel that makes x has ended
  take_over();
  B::narrow_x(p, first_tile * kDepth, n_tile * kDepth, xs, facts);

  float sum[kDown][4][4] = {};
  for (int tile = 0; tile < n_tile; ++tile) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // also: all are done with the tile that is overwritten now
    bring(tile + kStages - 1);
    const Tile& w = tiles[tile % kStages];
    UNROLL_BY(kSteps)
    for (int k = 0; k < kDepth / 2; k += kStep) {
      unsigned words[Tile::kWords];
      float scale[4] = {};
      w.load(my_column, my_k + k, words);
      if constexpr (type == DType::i4) w.load_scales(my_column, my_k + k, scale);
      UNROLL for (int half = 0; half < kStep / 16; ++half) {
        unsigned b[4][2];
        Tile::widen(words, half, scale, b);
        const int at = tile * kDepth + my_k + k + 16 * half + lane / 16 * 8;
        UNROLL for (int plane = 0; plane < kPlanes; ++plane) {
          UNROLL for (int i = 0; i < kDown; ++i) {
            unsigned a[4];
            ldmatrix<4>(a, xs + (plane * rows + 16 * i + lane % 16) * stride + at);
            UNROLL for (int j = 0; j < 4; ++j) mma_m16n8k16<T>(sum[i][j], a, b[j]);
          }
        }
      }
    }
  }

  // The sums of both halves of the warps, and from there on a thread has four columns of every kWarps-th row.
  cp_async_wait<0>();
  __syncthreads();
  float* const sums = reinterpret_cast<float*>(tiles);
  for (int half = 1; half >= 0; --half) {
    if (half == warp / kWarpsAcross) {
      UNROLL for (int i = 0; i < kDown; ++i) {
        UNROLL for (int j = 0; j < 4; ++j) {
          UNROLL for (int e = 0; e < 4; ++e) {
            const int row = 16 * i + lane / 4 + e / 2 * 8, column = my_column + Tile::column_of(j, lane % 4 * 2 + e % 2);
            float& to = sums[row * kRow + column];
            to = half == 1 ? sum[i][j][e] : to + sum[i][j][e];
          }
        }
      }
    }
    __syncthreads();
  }
  const int my_four = lane * 4, column = first_column + my_four;
  const std::int64_t of_part = std::int64_t{p.n_row} * kColumns;
  float* const parts = p.sums + block % across * n_part * of_part + my_four;
  const auto sum_of = [&](int row) {
    return B::of_part(p, *reinterpret_cast<const float4*>(sums + row * kRow + my_four), column, facts[row]);
  };
  if (n_part > 1) {
    UNROLL_BY(1)
    for (int row = warp; row < p.n_row; row += kWarps) {
      *reinterpret_cast<float4*>(parts + part * of_part + row * kColumns) = sum_of(row);
    }
    if (!is_last(p.counters + block % across, n_part)) return;
  }
  UNROLL_BY(1)
  for (int row = warp; row < p.n_row; row += kWarps) {
    float4 y{};
    if (n_part == 1) y = sum_of(row);
    UNROLL_BY(8)
    for (int i = 0; n_part > 1 && i < n_part; ++i) {
      const float4 more = __ldcg(reinterpret_cast<const float4*>(parts + i * of_part + row * kColumns));
      y.x += more.x, y.y += more.y, y.z += more.z, y.w += more.w;
    }
    finish_four(p, row, column, y);
  }
}

// Shared memory of a block, so that a multiprocessor of sm_90 has two; older ones give it less.
constexpr int kMostShared = 113 << 10, kOfFacts = 2 << 10;

// Of that, what a launch may ask for.
int most_dynamic() {
  int device = 0, most = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return std::min(most, kMostShared) - kOfFacts;
}

// Numbers along the input that a block can have, whole tiles.
int depth_for(DType type, int rows) {
  const int planes = planes_for(type, rows);
  const int of_x = (most_dynamic() - kStages * tile_bytes(type)) / (2 * rows * planes) - kPad;
  return std::min(of_x, most_depth(rows, planes)) / depth_of(type) * depth_of(type);
}

// A block for each multiprocessor of a large card, if each has a few tiles.
constexpr int kManyBlocks = 128, kFewestTiles = 4;

int parts_for(DType type, int rows, int n_in, int across) {
  const int n_tile = divided_up(n_in, depth_of(type));
  const int fewest = divided_up(n_in, depth_for(type, rows));
  return std::max(fewest, std::min(divided_up(kManyBlocks, across), n_tile / kFewestTiles));
}

int across(int n_out) { return divided_up(n_out, kColumns); }

template <DType type, bool input_major, int rows>
void launch_rows(cudaStream_t stream, Products& products) {
  const std::span all(products.product, static_cast<std::size_t>(products.n));
  int n_across = 0, blocks = 0, depth = 0;
  for (const Product& p : all) n_across += across(p.n_out);
  for (Product& p : all) {
    p.sums = static_cast<float*>(p.scratch);
    p.parts = parts_for(type, rows, p.n_in, n_across);
    p.first_block = blocks;
    blocks += across(p.n_out) * p.parts;
    depth = std::max(depth, divided_up(divided_up(p.n_in, depth_of(type)), p.parts) * depth_of(type));
  }
  const auto kernel = batch_kernel<type, input_major, rows>;
  const int bytes = kStages * tile_bytes(type) + planes_for(type, rows) * rows * (depth + kPad) * 2;
  // Not `bytes`: it is the kernel's, and a launch of another thread, or one that is being recorded, may need more.
  check(
      cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, most_dynamic()));
  launch({static_cast<unsigned>(blocks), kThreads, static_cast<std::size_t>(bytes), stream, can_overlap()}, kernel, products);
}

template <DType type, bool input_major>
void launch_type(cudaStream_t stream, int rows, Products& products) {
  rows == 16   ? launch_rows<type, input_major, 16>(stream, products)
  : rows == 32 ? launch_rows<type, input_major, 32>(stream, products)
               : launch_rows<type, input_major, 64>(stream, products);
}

}  // namespace

int gemm_batch_rows(const MatMul& op) { return rows_for(op.x.n_row); }

std::size_t gemm_batch_bytes(const MatMul& op) {
  const Matrix& w = op.weight;
  const int n_across = across(static_cast<int>(w.n_out));
  const int parts = parts_for(w.type, rows_for(op.x.n_row), static_cast<int>(w.n_in), n_across);
  return parts > 1 ? static_cast<std::size_t>(parts * op.x.n_row) * n_across * kColumns * sizeof(float) : 0;
}

std::size_t gemm_batch_counters(const MatMul& op) {
  return static_cast<std::size_t>(across(static_cast<int>(op.weight.n_out)));
}

void gemm_batch(cudaStream_t stream, DType type, bool input_major, int rows, Products& products) {
  with_type(type, [&](auto t) {
    if constexpr (t() != DType::f32) {
      input_major ? launch_type<t(), true>(stream, rows, products) : launch_type<t(), false>(stream, rows, products);
    }
  });
}

}  // namespace rwkv::cuda
