// SPDX-License-Identifier: Apache-2.0
// W of i8 and i4 as float16, once for all rows of x where these are many: w in float32, rounded once, at most 65504 in size.
// Rounding changes a number by at most 2^-11 of itself (below 2^-14: by 2^-25); quantising has changed it by up to 2^-9 (i8) or
// 2^-5 to 2^-3 (i4) of the largest of its row or group.
//
// A warp has 8 rows of W as it is stored. Of each a thread reads 8 bytes, all of them before it looks at the first, so that
// those of a warp are 256 neighbouring bytes and so are 16 bytes, of 8 numbers, that it writes at a time. What numbers along
// the rows have in common (rx and mx, or ry and my; scales of input-major i4) it reads once for all 8.
//
// Bytes moved: W as it is stored, from memory, and 2 of each number, which stay in the second-level cache where that has as
// much room (many_rows.cu): an estimated 10 us for 4096 x 4096 of i8 and 8 for i4, bound by the path to that cache.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kRows = 8;  // of a warp: of i4 in one group along the input, as rows of W^T are

// Numbers in 8 bytes of a row, and in those of a warp. Of i4 they are two times 8, 16 apart.
template <DType type>
constexpr int kOwn = type == DType::i8 ? 8 : 16;
template <DType type>
constexpr int kBand = 32 * kOwn<type>;

__device__ float saturated(float w) { return w > 65504.0f ? 65504.0f : w < -65504.0f ? -65504.0f : w; }  // NaN stays

__device__ unsigned pair(float a, float b) { return narrowed<__half>(saturated(a), saturated(b)); }

__device__ std::uintptr_t places_of_vectors(const Product& p) {
  return reinterpret_cast<std::uintptr_t>(p.mx) | reinterpret_cast<std::uintptr_t>(p.rx) |
         reinterpret_cast<std::uintptr_t>(p.my) | reinterpret_cast<std::uintptr_t>(p.ry);
}

__device__ void load_floats(const float* from, float (&to)[8]) {
  const float4 a = reinterpret_cast<const float4*>(from)[0], b = reinterpret_cast<const float4*>(from)[1];
  to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w, to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

__device__ void load_scales(const std::uint16_t* from, float (&to)[8]) {
  const uint4 eight = *reinterpret_cast<const uint4*>(from);
  UNROLL for (int i = 0; i < 8; i += 2) {
    const float2 two = pair_of<DType::bf16>(word_of(eight, i / 2));
    to[i] = two.x, to[i + 1] = two.y;
  }
}

__device__ void store(__half* to, const float (&w)[8]) {
  *reinterpret_cast<uint4*>(to) = {pair(w[0], w[1]), pair(w[2], w[3]), pair(w[4], w[5]), pair(w[6], w[7])};
}

// The rows that are stored: of W, or of W^T.
template <bool input_major>
struct StoredRows {
  int n, width;         // how many, and numbers of each that are wanted
  std::int64_t stride;  // numbers from one to the next
  __device__ explicit StoredRows(const Product& p)
      : n(input_major ? p.n_in : p.n_out), width(input_major ? p.n_out : p.n_in), stride(input_major ? p.out_stride : p.n_in) {}
};

// Rows [row, row + kRows), numbers at to at + 7.
template <bool input_major>
__device__ void widen_i8(const Product& p, int row, int at) {
  const StoredRows<input_major> rows(p);
  const std::uint8_t* const from = static_cast<const std::uint8_t*>(p.w) + row * rows.stride + at;
  uint2 q[kRows] = {};
  float of_row[kRows], more[kRows];  // what W's rows have, as numbers along them have factor and offset
  UNROLL for (int r = 0; r < kRows; ++r) {
    if (row + r < rows.n) q[r] = *reinterpret_cast<const uint2*>(from + r * rows.stride);
    const int i = min(row + r, rows.n - 1);
    of_row[r] = (input_major ? p.ry : p.rx)[i], more[r] = (input_major ? p.my : p.mx)[i];
  }
  float factor[8], offset[8];
  load_floats((input_major ? p.rx : p.ry) + at, factor);
  load_floats((input_major ? p.mx : p.my) + at, offset);
  __half* const to = static_cast<__half*>(p.scratch) + std::int64_t{row} * rows.width + at;
  UNROLL for (int r = 0; r < kRows; ++r) {
    float w[8];
    UNROLL for (int i = 0; i < 8; ++i) {
      const float number = byte_value(i < 4 ? q[r].x : q[r].y, i % 4) + 128.5f;
      w[i] = fmaf(number * of_row[r], factor[i], offset[i] + more[r]);
    }
    if (row + r < rows.n) store(to + std::int64_t{r} * rows.width, w);
  }
}

// The same where rows do not begin at whole vectors.
template <bool input_major>
__device__ void widen_i8_singly(const Product& p, int row, int at) {
  const StoredRows<input_major> rows(p);
  __half* const to = static_cast<__half*>(p.scratch);
  for (int r = row; r < min(row + kRows, rows.n); ++r) {
    for (int i = at; i < min(at + 8, rows.width); ++i) {
      const float w = weight_at<DType::i8, input_major>(p, input_major ? i : r, input_major ? r : i);
      to[std::int64_t{r} * rows.width + i] = narrowed<__half>(saturated(w));
    }
  }
}

// The same of i4, whose rows are whole groups: numbers at to at + 7 and at + 16 to at + 23.
template <bool input_major>
__device__ void widen_i4(const Product& p, int row, int at) {
  const StoredRows<input_major> rows(p);
  const std::int64_t row_bytes = rows.stride / 2;
  const std::uint8_t* const from = static_cast<const std::uint8_t*>(p.w) + row * row_bytes + at / 32 * 16 + at % 16;
  uint2 q[kRows] = {};
  UNROLL for (int r = 0; r < kRows; ++r) {
    if (row + r < rows.n) q[r] = *reinterpret_cast<const uint2*>(from + r * row_bytes);
  }
  float first[8], second[8], of_row[kRows];  // scales: of numbers along the rows, or of each row
  if constexpr (input_major) {
    const std::uint16_t* const scales = p.scale + row / 32 * rows.stride + at;
    load_scales(scales, first), load_scales(scales + 16, second);
  } else {
    UNROLL for (int r = 0; r < kRows; ++r) {
      const std::int64_t i = min(row + r, rows.n - 1);
      of_row[r] = widen_bf16(p.scale[i * (rows.stride / 32) + at / 32]);
    }
  }
  __half* const to = static_cast<__half*>(p.scratch) + std::int64_t{row} * rows.width + at;
  UNROLL for (int r = 0; r < kRows; ++r) {
    float low[8], high[8];
    UNROLL for (int i = 0; i < 8; ++i) {
      const unsigned word = i < 4 ? q[r].x : q[r].y, codes = codes_of(i % 4 < 2 ? word : word >> 16);
      low[i] = byte_value(codes, i % 2 * 2) * (input_major ? first[i] : of_row[r]);
      high[i] = byte_value(codes, i % 2 * 2 + 1) * (input_major ? second[i] : of_row[r]);
    }
    if (row + r >= rows.n) continue;
    store(to + std::int64_t{r} * rows.width, low);
    store(to + std::int64_t{r} * rows.width + 16, high);
  }
}

template <DType type, bool input_major>
__global__ void __launch_bounds__(kThreads) widen_kernel(const __grid_constant__ Products products) {
  const Product& p = product_of(products, static_cast<int>(blockIdx.x));
  const StoredRows<input_major> rows(p);
  const int block = static_cast<int>(blockIdx.x) - p.first_block, bands = divided_up(rows.width, kBand<type>);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int row = (block / bands * kWarps + warp) * kRows, band = block % bands * kBand<type>;
  const int at = band + (type == DType::i8 ? lane * 8 : lane / 2 * 32 + lane % 2 * 8);
  if (row >= rows.n || at >= rows.width) return;
  if constexpr (type == DType::i4) {
    widen_i4<input_major>(p, row, at);
  } else if (p.aligned && rows.width % 8 == 0 && places_of_vectors(p) % 16 == 0) {
    widen_i8<input_major>(p, row, at);
  } else {
    widen_i8_singly<input_major>(p, row, at);
  }
}

template <DType type>
void launch_type(cudaStream_t stream, bool input_major, Products& products) {
  int blocks = 0;
  for (Product& p : std::span(products.product, products.n)) {
    p.first_block = blocks;
    const int n = input_major ? p.n_in : p.n_out, width = input_major ? p.n_out : p.n_in;
    blocks += divided_up(n, kWarps * kRows) * divided_up(width, kBand<type>);
  }
  const auto kernel = input_major ? widen_kernel<type, true> : widen_kernel<type, false>;
  launch({static_cast<unsigned>(blocks), kThreads, 0, stream}, kernel, products);
}

}  // namespace

void widen(cudaStream_t stream, DType type, bool input_major, Products& products) {
  type == DType::i8 ? launch_type<DType::i8>(stream, input_major, products)
                    : launch_type<DType::i4>(stream, input_major, products);
}

}  // namespace rwkv::cuda
