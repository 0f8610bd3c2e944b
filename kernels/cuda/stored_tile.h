// SPDX-License-Identifier: Apache-2.0
// A tile of W in shared memory as it is stored, 8 KB of numbers of any type, and what tensor cores multiply made of it when a
// warp reads it: i8 and i4 are widened in registers, nothing waits for a number from memory.
#pragma once
#include "kernels/cuda/planes.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {

// kDepth numbers along the input of kColumns rows of W. In a row of the tile (of W, or of W^T) are kChunks times 16 bytes, at
// places where the eight that ldmatrix reads of neighbouring rows are in different banks.
//
// The products of 16 numbers along the input may come in any order if x has the same. Four neighbours are in a word of i8, and
// in the lower or upper halves of one of i4, where a lane has four of 16: so x is in the order of place_of() for these.
template <DType type, bool input_major>
struct StoredTile {
  using T = Number<type>;
  static constexpr bool kWidens = type == DType::i8 || type == DType::i4;
  static constexpr int kColumns = 128, kVec = kVector<type>, kDepth = 4 * kVec;
  static constexpr int kRows = input_major ? kDepth : kColumns, kChunks = (input_major ? kColumns : kDepth) / kVec;
  static constexpr int kStep = type == DType::i4 ? 32 : 16;  // numbers along the input that load() gets, of 32 columns
  static constexpr int kWords = kWidens ? 4 : 8;             // in so many words of a lane
  static constexpr int kGroups = kDepth / 32;                // i4
  static constexpr bool kTurnsX = kWidens && !input_major;

  uint4 chunks[kRows * kChunks];
  alignas(16) std::uint16_t scales[type == DType::i4 ? kColumns * kGroups : 8];  // [kColumns, kGroups] or [kGroups, kColumns]

  __device__ static int place(int row, int chunk) {
    return row * kChunks + (chunk ^ (kChunks >= 8 ? row % 8 : row / (8 / kChunks) % kChunks));
  }

  // Where number k of x is, of its 16.
  __device__ static int place_of(int k) { return kTurnsX ? k / 16 * 16 + k / 2 % 2 * 8 + k / 4 % 4 * 2 + k % 2 : k; }

  // Column n, 0 to 7, of product j of four among the 32 of a warp: ldmatrix turns pairs of bytes, which are neighbours.
  __device__ static int column_of(int j, int n) { return kWidens && input_major ? j / 2 * 16 + n * 2 + j % 2 : j * 8 + n; }

  // By all of `threads` threads; 0 for what is not there. Asynchronous but for what is not aligned.
  template <int threads>
  __device__ void bring(const Product& p, int first_column, int k0) {
    const int thread = static_cast<int>(threadIdx.x);
    static_assert(kRows * kChunks % threads == 0);
    UNROLL for (int i = 0; i < kRows * kChunks / threads; ++i) {
      const int at = thread + i * threads, row = at / kChunks, chunk = at % kChunks;
      const int column = first_column + (input_major ? chunk * kVec : row), k = k0 + (input_major ? row : chunk * kVec);
      bring_chunk(p, column, k, &chunks[place(row, chunk)]);
    }
    if constexpr (type == DType::i4) bring_scales<threads>(p, first_column, k0 / 32);
  }

  // Columns [column, column + 32) of numbers [k, k + kStep).
  __device__ void load(int column, int k, unsigned (&words)[kWords]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, i = lane % 8, m = lane / 8;
    if constexpr (!kWidens) {
      UNROLL for (int u = 0; u < 2; ++u) {
        unsigned four[4];
        const int at_column = column + 16 * u + m / 2 * 8, at_k = k + m % 2 * 8;
        if constexpr (input_major) {
          ldmatrix<4, true>(four, &chunks[place(at_k + i, at_column / kVec)]);
        } else {
          ldmatrix<4>(four, &chunks[place(at_column + i, at_k / kVec)]);
        }
        UNROLL for (int w = 0; w < 4; ++w) words[4 * u + w] = four[w];
      }
    } else if constexpr (!input_major) {
      ldmatrix<4>(words, &chunks[place(column + lane, k / kVec)]);
    } else if constexpr (type == DType::i8) {
      ldmatrix<4, true>(words, &chunks[place(k + m % 2 * 8 + i, column / kVec + m / 2)]);
    } else {
      ldmatrix<4, true>(words, &chunks[place(k + lane, column / kVec)]);
    }
  }

  // The scales of a lane's columns over the 32 numbers from k on.
  __device__ void load_scales(int column, int k, float (&scale)[4]) const {
    const int n = static_cast<int>(threadIdx.x) % 32 / 4, group = k / 32;
    UNROLL for (int j = 0; j < 4; ++j) {
      const int at = column + column_of(j, n);
      scale[j] = widen_bf16(scales[input_major ? group * kColumns + at : at * kGroups + group]);
    }
  }

  // Fragments b of 16 numbers, the first of the step or (half) the others, and products j of eight columns.
  __device__ static void widen(const unsigned (&words)[kWords], int half, const float (&scale)[4], unsigned (&b)[4][2]) {
    UNROLL for (int j = 0; j < 4; ++j) {
      UNROLL for (int h = 0; h < 2; ++h) {
        if constexpr (!kWidens) {
          b[j][h] = words[2 * j + h];
        } else if constexpr (type == DType::i8) {
          b[j][h] = input_major ? byte_pair(words[j / 2 * 2 + h], j % 2, j % 2 + 2) : byte_pair(words[j], 2 * h, 2 * h + 1);
        } else if constexpr (input_major) {
          const unsigned word = words[2 * half + h], first = codes_of(word), second = codes_of(word >> 16);
          const int i = j % 2 * 2 + j / 2;
          b[j][h] = code_pair(first, i, second, i, scale[j]);
        } else {
          const unsigned codes = codes_of(words[j] >> (16 * h));
          b[j][h] = code_pair(codes, half, codes, half + 2, scale[j]);
        }
      }
    }
  }

 private:
  __device__ static void bring_chunk(const Product& p, int column, int k, uint4* to) {
    const bool inside = column < p.n_out && k < p.n_in;
    const std::int64_t at = input_major ? std::int64_t{k} * p.n_out + column : std::int64_t{column} * p.n_in + k;
    const auto* const bytes = static_cast<const char*>(p.w) + at * 16 / kVec;
    if (inside && p.aligned) return cp_async<16>(to, bytes);
    *to = {};
    if constexpr (type != DType::i4) {  // which is always aligned
      using Stored = std::conditional_t<type == DType::i8, std::uint8_t, std::uint16_t>;
      const int n = inside ? min(kVec, input_major ? p.n_out - column : p.n_in - k) : 0;
      for (int i = 0; i < n; ++i) reinterpret_cast<Stored*>(to)[i] = reinterpret_cast<const Stored*>(bytes)[i];
    }
  }

  template <int threads>
  __device__ void bring_scales(const Product& p, int first_column, int group) {
    const int n_group = p.n_in / 32, thread = static_cast<int>(threadIdx.x);
    if constexpr (input_major) {
      constexpr int kEach = 8;  // 16 bytes
      if (thread >= kColumns * kGroups / kEach) return;
      const int g = thread / (kColumns / kEach), column = thread % (kColumns / kEach) * kEach;
      std::uint16_t* const to = scales + g * kColumns + column;
      if (group + g < n_group && first_column + column < p.n_out) {
        return cp_async<16>(to, p.scale + std::int64_t{group + g} * p.n_out + first_column + column);
      }
      *reinterpret_cast<uint4*>(to) = {};
    } else {
      if (thread >= kColumns) return;
      const int column = first_column + thread;
      std::uint16_t* const to = scales + thread * kGroups;
      const std::uint16_t* const from = p.scale + std::int64_t{column} * n_group + group;
      if (column < p.n_out && n_group % kGroups == 0) return cp_async<2 * kGroups>(to, from);
      UNROLL for (int g = 0; g < kGroups; ++g) to[g] = column < p.n_out && group + g < n_group ? from[g] : 0;
    }
  }

  // q - 128 of two bytes: 0x6400 | q is 1024 + q in float16.
  __device__ static unsigned byte_pair(unsigned word, int first, int second) {
    const unsigned both = __byte_perm(word, 0x64646464u, 0x4040u | static_cast<unsigned>(first | second << 8));
    const __half2 pair =
        __hsub2(reinterpret_cast<const __half2&>(both), __half2(__ushort_as_half(0x6480), __ushort_as_half(0x6480)));
    return reinterpret_cast<const unsigned&>(pair);
  }

  // A byte of each of two words, as scaled codes.
  __device__ static unsigned code_pair(unsigned first, int i, unsigned second, int k, float scale) {
    return narrowed<T>(scaled_code(first, i, scale), scaled_code(second, k, scale));
  }
  // 0x47000000 | q << 8 is 2^15 + q, and all numbers here are exact.
  __device__ static float scaled_code(unsigned codes, int i, float scale) {
    const unsigned placed = __byte_perm(codes, 0x47000000u, 0x7404u | static_cast<unsigned>(i) << 4);
    return fmaf(__uint_as_float(placed), scale, scale * -(32768.0f + kI4Zero));
  }
};

}  // namespace rwkv::cuda
