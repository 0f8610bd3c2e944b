// SPDX-License-Identifier: Apache-2.0
// Products of a few rows of x with i4 in integers: of 32 numbers x = scale (2^8 a + b), a and b signed bytes, 16 bits of the
// largest of them, so that four products of a digit are one instruction. Every sum of a group is exact.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/weights.h"

namespace rwkv::cuda {

constexpr unsigned signed_codes(int first) { return packed_codes(first) ^ 0x80808080u; }
inline constexpr unsigned kSigned0 = signed_codes(0), kSigned4 = signed_codes(4), kSigned8 = signed_codes(8),
                          kSigned12 = signed_codes(12);

// code[q] of the eight nibbles of a word, as signed bytes: codes_of for both halves of it.
__device__ inline int2 signed_codes_of(unsigned nibbles) {
  const unsigned at = nibbles & 0x77777777u, choice = 0x32103210u | (nibbles >> 1 & 0x44444444u);
  const unsigned low0 = permute_bytes(kSigned0, kSigned4, at), high0 = permute_bytes(kSigned8, kSigned12, at);
  const unsigned low1 = permute_bytes(kSigned0, kSigned4, at >> 16), high1 = permute_bytes(kSigned8, kSigned12, at >> 16);
  return {static_cast<int>(permute_bytes(low0, high0, choice)), static_cast<int>(permute_bytes(low1, high1, choice >> 16))};
}

// Byte `byte` of each of four words.
__device__ inline unsigned byte_of_each(const unsigned (&words)[4], unsigned byte) {
  const unsigned pick = byte | (4 + byte) << 4;
  return permute_bytes(permute_bytes(words[0], words[1], pick), permute_bytes(words[2], words[3], pick), 0x5410u);
}

// Of up to `groups` groups of 32 numbers of `rows` rows, in shared memory. The words of a digit have numbers 2 i, 2 i + 16,
// 2 i + 1 and 2 i + 17, as neighbouring nibbles have, and four of them are a quad. A quad of neighbouring groups is in
// neighbouring places: first quads of a, then of b.
template <int rows, int groups>
struct Digits {
  static constexpr int kQuad = 4 * groups + 16, kRow = 4 * kQuad + groups;  // words; 16 more: a warp writes to all banks
  static constexpr int kWords = rows * kRow;
  static constexpr float kMost = 127 * 256;  // what the largest number of a group becomes

  // Of groups [v0, v0 + n) of x, 0 for rows that are not there. Eight threads have a group.
  static __device__ void bring(const Product& p, int v0, int n, float* xs) {
    auto* const words = reinterpret_cast<unsigned*>(xs);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, i = lane % 8;
    for (int first = thread / 32 * 4; first < n; first += static_cast<int>(blockDim.x) / 8) {
      const int v = first + lane / 8;
      UNROLL for (int r = 0; r < rows; ++r) {
        float x[4] = {};
        if (v < n && r < p.n_row) {
          const float* const at = p.x + std::int64_t{r} * p.n_in + (v0 + v) * static_cast<int>(kI4Group) + 2 * i;
          x[0] = at[0], x[1] = at[16], x[2] = at[1], x[3] = at[17];
        }
        unsigned bits = 0;  // of the largest; those of NaN are larger than all others
        for (const float number : x) bits = max(bits, __float_as_uint(number) & 0x7fffffffu);
        for (int l = 4; l > 0; l /= 2) bits = max(bits, __shfl_xor_sync(kWholeWarp, bits, l));
        if (v >= n) continue;
        const float largest = __uint_as_float(bits), inverse = largest > 0x1p-100f ? kMost / largest : 0.0f;
        // The lowest bits of 1.5 2^23 + n are n; 128 more, so that b, the lowest 8 of them, lacks its 128.
        unsigned whole[4];
        UNROLL for (int k = 0; k < 4; ++k) whole[k] = __float_as_uint(fmaf(x[k], inverse, 12582912.0f + 128.0f));
        unsigned* const to = words + r * kRow + i / 4 * kQuad + 4 * v + i % 4;
        to[0] = byte_of_each(whole, 1);
        to[2 * kQuad] = byte_of_each(whole, 0) ^ 0x80808080u;
        // NaN and infinity make it NaN.
        if (i == 0) xs[r * kRow + 4 * kQuad + v] = largest * (1.0f / kMost) + largest * 0.0f;
      }
    }
  }

  // sum[r][c] += x[r] W[c] over group v, counted from the first one in xs: 32 codes in raw[c], with their scale.
  template <int columns>
  static __device__ void multiply(const uint4 (&raw)[columns], const float (&scale)[columns], const float* xs, int v,
                                  float (&sum)[rows][columns]) {
    int high[rows][columns] = {}, low[rows][columns] = {};
    UNROLL for (int half = 0; half < 2; ++half) {
      int2 first[columns], second[columns];
      UNROLL for (int c = 0; c < columns; ++c) {
        first[c] = signed_codes_of(word_of(raw[c], 2 * half)), second[c] = signed_codes_of(word_of(raw[c], 2 * half + 1));
      }
      UNROLL for (int r = 0; r < rows; ++r) {
        const float* const quad = xs + r * kRow + half * kQuad + 4 * v;
        const int4 a = *reinterpret_cast<const int4*>(quad), b = *reinterpret_cast<const int4*>(quad + 2 * kQuad);
        UNROLL for (int c = 0; c < columns; ++c) {
          const auto add = [&](const int4& x, int s) {
            s = __dp4a(first[c].x, x.x, __dp4a(first[c].y, x.y, s));
            return __dp4a(second[c].x, x.z, __dp4a(second[c].y, x.w, s));
          };
          high[r][c] = add(a, high[r][c]), low[r][c] = add(b, low[r][c]);
        }
      }
    }
    UNROLL for (int r = 0; r < rows; ++r) {
      const float x_scale = xs[r * kRow + 4 * kQuad + v];
      UNROLL for (int c = 0; c < columns; ++c) {
        sum[r][c] += scale[c] * x_scale * static_cast<float>(high[r][c] * 256 + low[r][c]);
      }
    }
  }
};

}  // namespace rwkv::cuda
