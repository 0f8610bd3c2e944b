// SPDX-License-Identifier: Apache-2.0
// One row of x times an input-major i4 matrix in integers, x in two digits as for rows of W: the rows of a group share their
// scales, so four at a time are added up as whole numbers. Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_INPUT_MAJOR_I4_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_INPUT_MAJOR_I4_INL
#undef RWKV_CPU_INPUT_MAJOR_I4_INL
#else
#define RWKV_CPU_INPUT_MAJOR_I4_INL
#endif

#include <bit>

#include "kernels/cpu/digits-inl.h"
#include "kernels/cpu/weights-inl.h"

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

// The rows of a group whose x is not 0 in whole numbers, in fours: the last four may hold a row again, with digits of 0.
struct UsedRows {
  std::int64_t n = 0;
  const std::uint8_t* row[kI4Group];
  alignas(32) std::int8_t high[kI4Group], low[kI4Group];
  std::int32_t sum = 0;  // of the whole numbers

  // Rows [k, k + kI4Group) of v, n_byte apart, and their digits in row r of x.
  HWY_INLINE void find(const Digits& x, std::int64_t r, std::int64_t k, const std::uint8_t* v, std::int64_t n_byte) {
    const std::int8_t *const x_high = x.row(r) + k, *const x_low = x_high + x.stride / kTwoDigits.count;
    const auto load = [](const std::int8_t* p) HWY_ATTR { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); };
    const __m256i any = _mm256_or_si256(load(x_high), load(x_low));
    _mm256_store_si256(reinterpret_cast<__m256i*>(high), _mm256_setzero_si256());
    _mm256_store_si256(reinterpret_cast<__m256i*>(low), _mm256_setzero_si256());
    n = 0, sum = 0;
    for (std::uint32_t left = _mm256_test_epi8_mask(any, any); left != 0; left &= left - 1, ++n) {
      const int i = std::countr_zero(left);
      row[n] = v + (k + i) * n_byte;
      high[n] = x_high[i], low[n] = x_low[i];
      sum += x_high[i] * 256 + x_low[i];
    }
    for (std::int64_t i = n; i % 4 != 0; ++i) row[i] = row[0];
  }
};

// Byte i of each of four rows' 16 in the 32 bits of lane i.
HWY_INLINE __m512i interleave_four(const std::uint8_t* const* row, std::int64_t at) {
  alignas(64) static constexpr std::uint8_t kOrder[64] = {0,  16, 32, 48, 1,  17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51,
                                                          4,  20, 36, 52, 5,  21, 37, 53, 6,  22, 38, 54, 7,  23, 39, 55,
                                                          8,  24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58, 11, 27, 43, 59,
                                                          12, 28, 44, 60, 13, 29, 45, 61, 14, 30, 46, 62, 15, 31, 47, 63};
  const auto block = [&](int i) HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row[i] + at)); };
  __m512i four = _mm512_inserti32x4(_mm512_castsi128_si512(block(0)), block(1), 1);
  four = _mm512_inserti32x4(_mm512_inserti32x4(four, block(2), 2), block(3), 3);
  return lookup_bytes_vbmi(four, _mm512_load_si512(kOrder));
}

HWY_INLINE V<I32<U8>> four_times(const std::int8_t* digits) {
  std::int32_t four;
  hwy::CopyBytes<4>(digits, &four);
  return hn::Set(I32<U8>(), four);
}

// sum[j] += sum_k x[k] V[k, m + j] for kGroups groups of outputs from m on; `at` is where they are in a row. No sum reaches
// 32 bits: 32 243 2^15 < 2^28. ask() is called beside each four rows.
template <int kGroups, class Ask>
HWY_INLINE void add_used(const UsedRows& used, std::int64_t at, const std::uint16_t* scale, float* sum, const Ask& ask) {
  const U8 d8;
  const hn::Repartition<std::uint16_t, U8> d16;
  const I32<U8> d32;
  const F32 d;
  const auto code = hn::LoadDup128(d8, kI4Code);
  const AddQuadsVbmi add;
  V<I32<U8>> high[2 * kGroups], low[2 * kGroups];
  for (auto& s : high) s = hn::Zero(d32);
  for (auto& s : low) s = hn::Set(d32, -kI4Zero * used.sum);
  for (std::int64_t i = 0; i < used.n; i += 4) {
    ask();
    const auto x_high = hn::BitCast(hn::RebindToSigned<U8>(), four_times(used.high + i));
    const auto x_low = hn::BitCast(hn::RebindToSigned<U8>(), four_times(used.low + i));
    HWY_UNROLL(4)
    for (int g = 0; g < kGroups; ++g) {
      const V<U8> both{interleave_four(used.row + i, at + g * kI4GroupBytes)};
      const auto first = add.lookup(d8, code, both);
      const auto second = add.lookup(d8, code, hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, both))));
      high[2 * g] = add(d8, high[2 * g], first, x_high);
      low[2 * g] = add(d8, low[2 * g], first, x_low);
      high[2 * g + 1] = add(d8, high[2 * g + 1], second, x_high);
      low[2 * g + 1] = add(d8, low[2 * g + 1], second, x_low);
    }
  }
  HWY_UNROLL(8)
  for (int j = 0; j < 2 * kGroups; ++j) {
    const auto whole = hn::ConvertTo(d, hn::Add(hn::ShiftLeft<kTwoDigits.bits>(high[j]), low[j]));
    float* const to = sum + j * kI4GroupBytes;
    hn::StoreU(hn::MulAdd(LoadBf16::load(d, scale + j * kI4GroupBytes), whole, hn::LoadU(d, to)), d, to);
  }
}

// Asks for the rows of a list in their order, a few lines between products: only 16 lines can be on their way to a core's
// first-level cache, and the processor's own prefetcher, which has more, needs a sequence to follow. Asking at once for a line
// of each row is three quarters as fast.
class RowsAhead {
 public:
  RowsAhead(const UsedRows& used, std::int64_t n_byte) : used_(used), n_byte_(n_byte) {}

  template <int kLocality>
  HWY_INLINE void ask(std::int64_t lines) {
    for (; lines > 0 && row_ < used_.n; --lines) {
      __builtin_prefetch(used_.row[row_] + at_, 0, kLocality);
      at_ += 64;
      if (at_ >= n_byte_) at_ = 0, ++row_;
    }
  }
  template <int kLocality>
  HWY_INLINE void ask_rest() {
    ask<kLocality>(used_.n * n_byte_);
  }

 private:
  const UsedRows& used_;
  std::int64_t n_byte_, row_ = 0, at_ = 0;
};

// Rows [first, end) of V times those of row r of x, added to sum [n_out], which is 0. Those of the group after the next are
// asked for into the second-level cache, of the next into the first; at the end of a part they are the next part's.
inline void add_rows_i4(const Matrix& w, const Digits& x, std::int64_t r, std::int64_t first, std::int64_t end, float* sum) {
  constexpr std::int64_t kWide = 4 * kI4Group;  // outputs in a cache line
  const std::int64_t n = w.n_out, n_byte = n / 2;
  const auto* const v = static_cast<const std::uint8_t*>(w.data);
  UsedRows lists[3], *now = &lists[0], *next = &lists[1], *far = &lists[2];
  const auto find = [&](UsedRows& list, std::int64_t k) HWY_ATTR {
    list.n = 0;
    if (k < w.n_in) list.find(x, r, k, v, n_byte);
  };
  find(*now, first);
  find(*next, first + kI4Group);
  for (std::int64_t k = first; k < end; k += kI4Group) {
    find(*far, k + 2 * kI4Group);
    RowsAhead near_rows(*next, n_byte), far_rows(*far, n_byte);
    const auto ask = [&] HWY_ATTR { far_rows.ask<2>(4), near_rows.ask<3>(4); };
    const std::uint16_t* const scale = w.scale + k / kI4Group * n;
    for (std::int64_t m = 0; m < n && now->n > 0; m += kWide) {
      prefetch(scale + n + m, kWide);
      if (m + kWide <= n) {
        add_used<4>(*now, m / 2, scale + m, sum + m, ask);
      } else {
        for (std::int64_t j = m; j < n; j += kI4Group) add_used<1>(*now, j / 2, scale + j, sum + j, ask);
      }
    }
    far_rows.ask_rest<2>(), near_rows.ask_rest<3>();
    std::swap(now, next), std::swap(next, far);
  }
  const F32 d;
  for (std::int64_t m = 0; m < n; m += static_cast<std::int64_t>(hn::Lanes(d))) {
    hn::StoreU(hn::Mul(hn::LoadU(d, sum + m), hn::Set(d, x.scale[r])), d, sum + m);
  }
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif
