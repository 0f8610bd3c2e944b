// SPDX-License-Identifier: Apache-2.0
// Products of 1 to 16 rows of x with matrices as in a checkpoint, bound by reading W once: 16 bytes a thread at a time, the
// next ones while these are multiplied. An estimated 80 to 90% of the card's bandwidth, from some 8 MB of W in a launch on.
//
// A block has 256 threads, a row of W `lanes` of them, and each thread kColumns rows of W. x goes through shared memory a chunk
// at a time: quads of x that a thread multiplies with one vector of W lie a chunk apart, so that neighbouring threads read
// neighbouring quads. i8 has x times ry there, and three sums of x make up for what its numbers lack (kernels/tensor.h):
//   y[m] = rx[m] (sum_n x ry (q - 128) + 128.5 sum_n x ry) + sum_n x my + mx[m] sum_n x
//
// Bytes moved: W once, x once per block from the second-level cache. Registers of one row of x (sm_90): f32 43, f16 and bf16
// 64, i8 78, i4 80, products of several types 80: all have three blocks or more to a multiprocessor, 16 KB of W each (f32 8) on
// the way while the kernel in front ends.
//
// Up to 4 rows of x with i4 are multiplied in integers (digits.h): 3.3 instructions a weight for 1 row instead of 6.2, of which
// an H200 can issue 3.9 while it reads one.
#include <algorithm>

#include "kernels/cuda/digits.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
// Numbers of x in shared memory.
template <int rows>
constexpr int kShared = rows > 2 ? 8192 : 4096;
template <int rows>
constexpr int kChunk = kShared<rows> / rows;
// From one quad of a vector to the next, and from one row of x to the next. Four more: neighbours along the input are in
// different banks, too.
template <DType type, int rows>
constexpr int kQuadStride = kChunk<rows> / (kVector<type> / 4) + 4;
template <DType type, int rows>
constexpr int kRowStride = kQuadStride<type, rows>*(kVector<type> / 4);

// Whether x is in shared memory as digits (digits.h): for more rows their sums take too many registers.
template <DType type, int rows>
constexpr bool kInDigits = (type == DType::i4) && rows <= 4;
template <int rows>
using DigitsOf = Digits<rows, kChunk<rows> / static_cast<int>(kI4Group)>;

// Rows of W of a thread: each number of x read from shared memory is for so many. One of i4 and i8 has more numbers to 16
// bytes, and 16 rows of x too many sums for four.
template <DType type, int rows>
constexpr int kColumns = kInDigits<type, rows> || (type == DType::i4 && rows > 8) ? 2
                         : rows > 2                                               ? 4
                         : type == DType::f32                                     ? 1
                                                                                  : 2;

// Rows of x that a warp brings into shared memory, and how many warps share one.
template <int rows>
constexpr int kOwn = rows > kWarps ? rows / kWarps : 1;
template <int rows>
constexpr int kSharers = rows > kWarps ? 1 : kWarps / rows;

// Blocks that a multiprocessor shall have room for, where that needs no spills.
template <DType type, int rows>
constexpr int kBlocks = rows > 8 || (type == DType::i4 && rows > 4) ? 1
                        : rows > 2                                  ? 2
                                                                    : 3;

// Vectors of a row of W on their way to a thread. Few rows of x are multiplied so fast that one, asked for when the last is
// done with, leaves the memory idle. In a whole chunk a thread has a multiple of them: two are for kernels whose chunks have 64
// vectors or more. Two rows of i4 have no registers left for a second one.
template <DType type, int rows>
constexpr int kOnTheWay = rows > 2 || (type == DType::i4 && rows > 1) ? 1 : 2;

struct Sums {
  float x = 0.0f, my = 0.0f, ry = 0.0f;  // of x, x my, x ry
};

// Numbers [k0, k0 + n) of all rows of x, 0 for rows that are not there, n at most kChunk. In the order of vectors:
// quad c of vector v at xs[row][c][v].
template <DType type, int rows, bool aligned>
__device__ void bring(const Product& p, int k0, int n, float* xs, Sums (&sums)[kOwn<rows>]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  UNROLL for (int own = 0; own < kOwn<rows>; ++own) {
    const int row = warp % rows + own * kWarps;
    const float* const x = p.x + std::int64_t{row} * p.n_in + k0;
    for (int i = warp / rows * 32 + lane; i < n; i += 32 * kSharers<rows>) {
      float value = row < p.n_row ? x[i] : 0.0f;
      if constexpr (type == DType::i8) {
        const float scaled = value * p.ry[k0 + i];
        sums[own].x += value, sums[own].my += value * p.my[k0 + i], sums[own].ry += scaled;
        value = scaled;
      }
      int at = i;
      if constexpr (aligned) {
        const int v = i / kVector<type>, in_vector = i % kVector<type>;
        const int quad = type == DType::i4 ? in_vector % 16 / 4 * 2 + in_vector / 16 : in_vector / 4;
        at = quad * kQuadStride<type, rows> + v * 4 + i % 4;
      }
      xs[row * kRowStride<type, rows> + at] = value;
    }
  }
}

__device__ float dot(const float4& a, const float4& b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

// sum[r][c] += x[r] W[c] over the vector of each of the rows of W that `raw` holds, whose quads of x are at xs.
template <DType type, int rows, int columns>
__device__ void multiply(const uint4 (&raw)[columns], const float (&scale)[columns], const float* xs,
                         float (&sum)[rows][columns]) {
  constexpr int kQuads = kVector<type> / 4;
  // Few sums of i4 get their scale at the end of the group, many weights before they are multiplied.
  constexpr bool kScaleSums = type == DType::i4 && rows * columns <= 8;
  float part[rows][columns] = {};
  UNROLL for (int q = 0; q < kQuads; ++q) {
    float4 w[columns];
    UNROLL for (int c = 0; c < columns; ++c) {
      w[c] = quad_of<type>(raw[c], q);
      if constexpr (type == DType::i4 && !kScaleSums) {
        w[c].x *= scale[c], w[c].y *= scale[c], w[c].z *= scale[c], w[c].w *= scale[c];
      }
    }
    UNROLL for (int r = 0; r < rows; ++r) {
      const float4 x = *reinterpret_cast<const float4*>(xs + r * kRowStride<type, rows> + q * kQuadStride<type, rows>);
      UNROLL for (int c = 0; c < columns; ++c) {
        if constexpr (kScaleSums) {
          part[r][c] += dot(w[c], x);
        } else {
          sum[r][c] += dot(w[c], x);
        }
      }
    }
  }
  if constexpr (kScaleSums) {
    UNROLL for (int r = 0; r < rows; ++r) { UNROLL for (int c = 0; c < columns; ++c) sum[r][c] += scale[c] * part[r][c]; }
  }
}

// One vector of each of a thread's rows of W.
template <DType type, int columns>
struct Vectors {
  uint4 raw[columns];
  float scales[columns];  // i4
};

// A thread's rows of W.
template <DType type, int columns>
struct RowsOfW {
  const char* row[columns];     // null past the last row of W
  const std::uint16_t* scales;  // i4; pointers for each row would take registers that two rows of x do not have
  int first[columns];           // each row's first scale

  __device__ RowsOfW(const Product& p, int column) : row{}, scales(p.scale), first{} {
    UNROLL for (int c = 0; c < columns; ++c) {
      if (column + c >= p.n_out) continue;
      const std::int64_t at = std::int64_t{column + c} * p.n_in / kVector<type>;
      row[c] = static_cast<const char*>(p.w) + at * 16;
      first[c] = static_cast<int>(at);
    }
  }
  __device__ void load(int v, Vectors<type, columns>& to) const {
    UNROLL for (int c = 0; c < columns; ++c) {
      if (!row[c]) continue;
      to.raw[c] = __ldcs(reinterpret_cast<const uint4*>(row[c]) + v);
      if constexpr (type == DType::i4) to.scales[c] = widen_bf16(__ldg(scales + first[c] + v));
    }
  }
};

// What a block shares.
template <DType type, int rows>
struct Shared {
  float xs[kInDigits<type, rows> ? DigitsOf<rows>::kWords : rows * kRowStride<type, rows>];
  float part[kWarps][kOwn<rows>][3];
};

template <int rows>
union SharedOfAny {
  Shared<DType::f32, rows> f32;
  Shared<DType::f16, rows> f16;
  Shared<DType::bf16, rows> bf16;
  Shared<DType::i8, rows> i8;
  Shared<DType::i4, rows> i4;
};

template <DType type, int rows>
__device__ void multiply_block(const Product& p, Shared<type, rows>& shared) {
  constexpr int kAtOnce = kChunk<rows>, kCols = kColumns<type, rows>, kVec = kVector<type>, kAhead = kOnTheWay<type, rows>;
  static_assert(kAhead == 1 || kAtOnce / kVec % (32 * kAhead) == 0);
  auto& [xs, part] = shared;
  const int thread = static_cast<int>(threadIdx.x), lanes = p.lanes, lane = thread % lanes;
  const int n_team = kThreads / lanes, first = (static_cast<int>(blockIdx.x) - p.first_block) * n_team * kCols;
  const int column = first + thread / lanes * kCols;
  float sum[rows][kCols] = {};
  Sums sums[kOwn<rows>];
  if (p.aligned) {
    const RowsOfW<type, kCols> w(p, column);
    const int n_vector = p.n_in / kVec;
    Vectors<type, kCols> ahead[kAhead] = {};
    UNROLL for (int a = 0; a < kAhead; ++a) {  // before the kernel that makes x has ended
      if (lane + a * lanes < n_vector) w.load(lane + a * lanes, ahead[a]);
    }
    take_over();
    for (int v0 = 0; v0 < n_vector; v0 += kAtOnce / kVec) {
      const int n = min(n_vector - v0, kAtOnce / kVec);
      if (v0 > 0) __syncthreads();
      if constexpr (kInDigits<type, rows>) {
        DigitsOf<rows>::bring(p, v0, n, xs);
      } else {
        bring<type, rows, true>(p, v0 * kVec, n * kVec, xs, sums);
      }
      __syncthreads();
      for (int first_v = lane; first_v < n; first_v += kAhead * lanes) {
        UNROLL for (int a = 0; a < kAhead; ++a) {
          const int v = first_v + a * lanes, next = v0 + v + kAhead * lanes;
          if (v >= n) continue;
          if constexpr (kInDigits<type, rows>) {
            DigitsOf<rows>::multiply(ahead[a].raw, ahead[a].scales, xs, v, sum);
          } else {
            multiply<type, rows, kCols>(ahead[a].raw, ahead[a].scales, xs + 4 * v, sum);
          }
          if (next < n_vector) w.load(next, ahead[a]);
        }
      }
    }
  } else if constexpr (type != DType::i4) {
    take_over();
    for (int k0 = 0; k0 < p.n_in; k0 += kAtOnce) {
      const int n = min(p.n_in - k0, kAtOnce);
      if (k0 > 0) __syncthreads();
      bring<type, rows, false>(p, k0, n, xs, sums);
      __syncthreads();
      for (int i = lane; i < n; i += lanes) {
        UNROLL for (int c = 0; c < kCols; ++c) {
          if (column + c >= p.n_out) continue;
          const float w = number_at<type>(p.w, std::int64_t{column + c} * p.n_in + k0 + i);
          UNROLL for (int r = 0; r < rows; ++r) sum[r][c] += w * xs[r * kRowStride<type, rows> + i];
        }
      }
    }
  }

  // Sums of a team, or of the warps of one, to xs[team or warp][row][column].
  __syncthreads();
  const int in_warp = min(lanes, 32);
  UNROLL for (int r = 0; r < rows; ++r) {
    UNROLL for (int c = 0; c < kCols; ++c) {
      const float total = warp_sum(sum[r][c], in_warp);
      if (thread % in_warp == 0) xs[(thread / in_warp * rows + r) * kCols + c] = total;
    }
  }
  if constexpr (type == DType::i8) {
    UNROLL for (int own = 0; own < kOwn<rows>; ++own) {
      const float of_x = warp_sum(sums[own].x, 32), of_my = warp_sum(sums[own].my, 32), of_ry = warp_sum(sums[own].ry, 32);
      float* const to = part[thread / 32][own];
      if (thread % 32 == 0) to[0] = of_x, to[1] = of_my, to[2] = of_ry;
    }
  }
  __syncthreads();
  const int n_part = lanes / in_warp, n_column = n_team * kCols;
  for (int i = thread; i < n_column * p.n_row; i += kThreads) {
    const int r = i / n_column, m = i % n_column;
    if (first + m >= p.n_out) continue;
    float y = 0.0f;
    for (int w = 0; w < n_part; ++w) y += xs[((m / kCols * n_part + w) * rows + r) * kCols + m % kCols];
    if constexpr (type == DType::i8) {
      float total[3] = {};
      for (int w = 0; w < kSharers<rows>; ++w) {
        for (int s = 0; s < 3; ++s) total[s] += part[r % kWarps + w * rows][r / kWarps][s];
      }
      y = sum_of_i8(p, first + m, y, total[2], total[1], total[0]);
    }
    finish(p, r, first + m, y);
  }
}

template <DType type, int rows>
__global__ void __launch_bounds__(kThreads, (kBlocks<type, rows>)) matvec_kernel(const __grid_constant__ Products products) {
  if constexpr (type != DType::f32 && rows > 8 && kMultipliesBf16) return;  // kRowsOf
  using Memory = Shared<type, rows>;
  SHARED_ARRAY(Memory, shared, [1]);
  multiply_block<type, rows>(product_of(products, static_cast<int>(blockIdx.x)), shared[0]);
}

// Products of any types. Those of i4 need most registers and shared memory; of two rows, too many for three blocks.
template <int rows>
__global__ void __launch_bounds__(kThreads, 4 - rows) mixed_kernel(const __grid_constant__ Products products) {
  using Memory = SharedOfAny<rows>;
  SHARED_ARRAY(Memory, shared, [1]);
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  switch (p.type) {
    case DType::f32:
      return multiply_block<DType::f32, rows>(p, shared[0].f32);
    case DType::f16:
      return multiply_block<DType::f16, rows>(p, shared[0].f16);
    case DType::bf16:
      return multiply_block<DType::bf16, rows>(p, shared[0].bf16);
    case DType::i8:
      return multiply_block<DType::i8, rows>(p, shared[0].i8);
    case DType::i4:
      return multiply_block<DType::i4, rows>(p, shared[0].i4);
  }
}

// Threads for a row of W: not more than have a vector in each chunk, a warp at most where there are many rows of W; more where
// they are few, so that the card has work, but at least four vectors each.
template <DType type, int rows>
int lanes_for(const Product& p) {
  constexpr int kTarget = 1 << 16;  // threads
  const int n_vector = std::min(p.n_in, kChunk<rows>) / (p.aligned ? kVector<type> : 1);
  const std::int64_t teams = (p.n_out + kColumns<type, rows> - 1) / kColumns<type, rows>;
  int lanes = 8;
  while (lanes < 32 && 2 * lanes <= n_vector) lanes *= 2;
  while (lanes < kThreads && 8 * lanes <= n_vector && lanes * teams < kTarget) lanes *= 2;
  return lanes;
}

// More than 8 rows of f16 and i8 are for tensor cores, which all cards have.
template <DType type, int rows>
constexpr int kRowsOf = (type == DType::f16 || type == DType::i8) && rows > 8 ? 8 : rows;

template <int rows>
void launch_rows(cudaStream_t stream, Products& products) {
  int blocks = 0;
  bool mixed = false;
  const DType type = products.product[0].type;
  for (Product& p : std::span(products.product, products.n)) {
    mixed |= p.type != type;
    p.first_block = blocks;
    with_type(p.type, [&](auto t) {
      constexpr int kRows = kRowsOf<t(), rows>;
      p.lanes = lanes_for<t(), kRows>(p);
      blocks += divided_up(p.n_out, kThreads / p.lanes * kColumns<t(), kRows>);
    });
  }
  const LaunchConfig config{static_cast<unsigned>(blocks), kThreads, 0, stream, can_overlap()};
  if constexpr (rows <= kMostMixedRows) {
    if (mixed) return launch(config, mixed_kernel<rows>, products);
  }
  with_type(type, [&](auto t) { launch(config, matvec_kernel<t(), kRowsOf<t(), rows>>, products); });
}

}  // namespace

void matvec(cudaStream_t stream, Products& products) {
  int rows = 0;
  for (const Product& p : std::span(products.product, products.n)) rows = std::max(rows, p.n_row);
  rows == 1   ? launch_rows<1>(stream, products)
  : rows == 2 ? launch_rows<2>(stream, products)
  : rows <= 4 ? launch_rows<4>(stream, products)
  : rows <= 8 ? launch_rows<8>(stream, products)
              : launch_rows<16>(stream, products);
}

}  // namespace rwkv::cuda
