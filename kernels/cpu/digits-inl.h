// SPDX-License-Identifier: Apache-2.0
// Products of few rows of x with 8- and 4-bit weights in integers: converting weights to float32 is slower than reading them.
//   x = scale (2^14 a + 2^7 b + c), a, b, c of -64 .. 64: 21 bits of the row's largest number, and every sum of them is exact;
//   i4 with VNNI: x = scale (2^8 a + b), 16 bits, as what is left is far below the rounding of such weights
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_DIGITS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_DIGITS_INL
#undef RWKV_CPU_DIGITS_INL
#else
#define RWKV_CPU_DIGITS_INL
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/vnni_x86.h"
#include "kernels/cpu/weights-inl.h"
#include "kernels/i4.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

struct DigitForm {
  int count, bits;  // of a digit
  float largest;    // what the row's largest number becomes
};
constexpr DigitForm kThreeDigits{3, 7, 0x1p20f};
constexpr DigitForm kTwoDigits{2, 8, 127 * 256};

// AVX-512 and NEON have 32 registers, the others 16: three sums for each row of x.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kDigitRows = 8;
#else
constexpr int kDigitRows = 4;
#endif

// Memory in whole cache lines: a load across two of them takes twice the time.
struct alignas(64) CacheLine {
  std::byte bytes[64];
};

struct Digits {
  DigitForm form{};
  std::int64_t n = 0;             // of a row
  std::int64_t stride = 0;        // from digit to digit of a row
  std::vector<CacheLine> memory;  // [R, count, stride]; for i4 all first halves of groups, at stride / 2 the second ones
  std::vector<CacheLine> zeros;   // i4: [R, stride / 8], kI4Zero times the sum of 4 numbers and of the 4 that share their bytes
  std::vector<float> scale;       // [R]; NaN where x holds NaN or infinity

  Digits() = default;
  Digits(DigitForm digits, std::int64_t rows, std::int64_t n_col, std::int64_t whole)
      : form(digits), n(n_col), stride((n + whole - 1) / whole * whole), memory(rows * form.count * stride / 64), scale(rows) {}

  [[nodiscard]] const std::int8_t* row(std::int64_t r, int digit = 0) const {
    return reinterpret_cast<const std::int8_t*>(memory.data()) + (r * form.count + digit) * stride;
  }
  [[nodiscard]] std::int8_t* row(std::int64_t r) { return const_cast<std::int8_t*>(std::as_const(*this).row(r)); }
  [[nodiscard]] std::int32_t* zero(std::int64_t r) { return const_cast<std::int32_t*>(std::as_const(*this).zero(r)); }
  [[nodiscard]] const std::int32_t* zero(std::int64_t r) const {
    return reinterpret_cast<const std::int32_t*>(zeros.data()) + r * stride / 8;
  }
};

// One row: x[i] = scale whole[i], and whole[i] in digits, the highest first, stride apart. Returns the scale.
HWY_INLINE float split(const float* x, std::int64_t n, DigitForm form, std::int32_t* whole, std::int8_t* digit,
                       std::int64_t stride) {
  const float poison =
      sum_vectors(n, [x](auto d, std::int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::Zero(d)); });
  const F32 d_all;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d_all));
  auto largest = hn::Zero(d_all);
  std::int64_t at = 0;
  for (; at + lanes <= n; at += lanes) largest = hn::Max(largest, hn::Abs(hn::LoadU(d_all, x + at)));
  float most = hn::GetLane(hn::MaxOfLanes(d_all, largest));
  for (; at < n; ++at) most = std::max(most, std::abs(x[at]));
  const float inverse = most > 0x1p-100f ? form.largest / most : 0.0f;
  for_vectors(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const hn::RebindToSigned<decltype(d)> di;
    const hn::Rebind<std::int8_t, decltype(d)> d8;
    const auto mask = hn::Set(di, (1 << form.bits) - 1), half = hn::Set(di, 1 << form.bits >> 1);
    auto left = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, inverse)));
    hn::StoreU(left, di, whole + i);
    for (int k = form.count - 1; k > 0; --k) {
      const auto lowest = hn::Sub(hn::And(hn::Add(left, half), mask), half);
      hn::StoreU(hn::DemoteTo(d8, lowest), d8, digit + k * stride + i);
      left = hn::ShiftRightSame(hn::Sub(left, lowest), form.bits);
    }
    hn::StoreU(hn::DemoteTo(d8, left), d8, digit + i);
  });
  return (inverse > 0.0f ? most / form.largest : 0.0f) + poison;
}

// Whether AddQuadsVnni is what multiplies.
inline bool is_vnni() { return HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 && has_vnni(); }

inline Digits digits_for_i8(const float* x, std::int64_t rows, std::int64_t n) {
  Digits out(kThreeDigits, rows, n, 64);
  std::vector<std::int32_t> whole(n);
  for (std::int64_t r = 0; r < rows; ++r) {
    out.scale[r] = split(x + r * n, n, out.form, whole.data(), out.row(r), out.stride);
  }
  return out;
}

// n is a multiple of kI4Group.
inline Digits digits_for_i4(const float* x, std::int64_t rows, std::int64_t n) {
  Digits out(is_vnni() ? kTwoDigits : kThreeDigits, rows, n, 128);
  const std::int64_t half = out.stride / 2;
  out.zeros.resize(rows * out.stride / 8 * sizeof(std::int32_t) / sizeof(CacheLine));
  std::vector<std::int32_t> whole(out.stride);
  std::vector<float> apart(out.stride);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < n; i += kI4Group) {
      std::copy_n(x + r * n + i, kI4GroupBytes, &apart[i / 2]);
      std::copy_n(x + r * n + i + kI4GroupBytes, kI4GroupBytes, &apart[half + i / 2]);
    }
    out.scale[r] = split(apart.data(), out.stride, out.form, whole.data(), out.row(r), out.stride);
    for (std::int64_t j = 0; j < half / 4; ++j) {
      const std::int32_t *const a = whole.data() + 4 * j, *const b = a + half;
      out.zero(r)[j] = kI4Zero * (a[0] + a[1] + a[2] + a[3] + b[0] + b[1] + b[2] + b[3]);
    }
  }
  return out;
}

#if HWY_TARGET != HWY_SCALAR

template <class D8>
using I32 = hn::Repartition<std::int32_t, D8>;

// sum[j] + w[4 j] x[4 j] + ... + w[4 j + 3] x[4 j + 3], w unsigned, x of -64 .. 64, so that two products fit 16 bits.
struct AddQuads {
  static constexpr DigitForm kI4Form = kThreeDigits;
  template <class D8>
  HWY_INLINE V<I32<D8>> operator()(D8, V<I32<D8>> sum, V<D8> w, V<hn::RebindToSigned<D8>> x) const {
    [[maybe_unused]] constexpr std::size_t kBytes = hn::MaxLanes(D8());
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_SSSE3
    if constexpr (kBytes == 16) {
      const __m128i pairs = _mm_maddubs_epi16(w.raw, x.raw);
      return {_mm_add_epi32(sum.raw, _mm_madd_epi16(pairs, _mm_set1_epi16(1)))};
    }
#if HWY_TARGET <= HWY_AVX2
    if constexpr (kBytes == 32) {
      const __m256i pairs = _mm256_maddubs_epi16(w.raw, x.raw);
      return {_mm256_add_epi32(sum.raw, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
    }
#endif
#if HWY_TARGET <= HWY_AVX3
    if constexpr (kBytes == 64) {
      const __m512i pairs = _mm512_maddubs_epi16(w.raw, x.raw);
      return {_mm512_add_epi32(sum.raw, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
    }
#endif
#else
    const hn::Repartition<std::int16_t, D8> d16;
    const hn::Repartition<std::uint16_t, D8> du16;
    const I32<D8> d32;
    const auto w16 = hn::BitCast(du16, w);
    const auto x16 = hn::BitCast(d16, x);
    const auto even = hn::Mul(hn::BitCast(d16, hn::And(w16, hn::Set(du16, 255))), hn::ShiftRight<8>(hn::ShiftLeft<8>(x16)));
    const auto odd = hn::Mul(hn::BitCast(d16, hn::ShiftRight<8>(w16)), hn::ShiftRight<8>(x16));
    const auto pairs = hn::BitCast(d32, hn::Add(even, odd));
    return hn::Add(sum, hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs)), hn::ShiftRight<16>(pairs)));
#endif
  }
};

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
struct AddQuadsVnni {
  static constexpr DigitForm kI4Form = kTwoDigits;
  template <class D8>
  HWY_INLINE V<I32<D8>> operator()(D8, V<I32<D8>> sum, V<D8> w, V<hn::RebindToSigned<D8>> x) const {
    return {add_quads_vnni(sum.raw, w.raw, x.raw)};
  }
};
#endif

using U8 = hn::ScalableTag<std::uint8_t>;

// y[a] = x[row + a] w for kX rows of x.
template <class Quads, int kX>
HWY_INLINE void dots_i8(const std::uint8_t* w, const Digits& x, std::int64_t row, float* y) {
  constexpr int kCount = kThreeDigits.count;
  constexpr int kChains = kX == 1 ? 2 : 1;  // hide the latency of the sums
  const U8 d8;
  const hn::RebindToSigned<U8> di8;
  const I32<U8> d32;
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d8));
  const std::int8_t* const digits = x.row(row);
  V<I32<U8>> sum[kX][kChains][kCount];
  for (auto& of_row : sum) {
    for (auto& chain : of_row) {
      for (auto& s : chain) s = hn::Zero(d32);
    }
  }
  std::int64_t i = 0;
  for (; i + kChains * lanes <= x.n; i += kChains * lanes) {
    prefetch_stream(w + i, kChains * lanes);
    HWY_UNROLL(2)
    for (int c = 0; c < kChains; ++c) {
      const auto weights = hn::LoadU(d8, w + i + c * lanes);
      HWY_UNROLL(8)
      for (int a = 0; a < kX; ++a) {
        HWY_UNROLL(3)
        for (int k = 0; k < kCount; ++k) {
          sum[a][c][k] =
              Quads()(d8, sum[a][c][k], weights, hn::LoadU(di8, digits + (a * kCount + k) * x.stride + i + c * lanes));
        }
      }
    }
  }
  for (int a = 0; a < kX; ++a) {
    float rest = 0.0f;
    for (std::int64_t j = i; j < x.n; ++j) {
      const std::int8_t* const at = digits + a * kCount * x.stride + j;
      rest += static_cast<float>(w[j] * (at[0] * 16384 + at[x.stride] * 128 + at[2 * x.stride]));
    }
    V<F32> total = hn::Zero(d);
    for (int k = 0; k < kCount; ++k) {
      auto s = sum[a][0][k];
      if constexpr (kChains == 2) s = hn::Add(s, sum[a][1][k]);
      total = hn::MulAdd(total, hn::Set(d, 128.0f), hn::ConvertTo(d, s));
    }
    y[a] = x.scale[row + a] * (hn::GetLane(hn::SumOfLanes(d, total)) + rest);
  }
}

// The scales of the groups whose numbers a vector of nibbles holds, each in the four lanes of its sums.
template <class D8>
HWY_INLINE V<hn::Repartition<float, D8>> group_scales(D8 d8, const std::uint16_t* scale) {
  constexpr std::size_t kBytes = hn::MaxLanes(D8()) / kI4GroupBytes * sizeof *scale;
  alignas(64) static constexpr std::uint8_t kUpperHalves[64] = {128, 128, 0, 1, 128, 128, 0, 1, 128, 128, 0, 1, 128, 128, 0, 1,
                                                                128, 128, 2, 3, 128, 128, 2, 3, 128, 128, 2, 3, 128, 128, 2, 3,
                                                                128, 128, 4, 5, 128, 128, 4, 5, 128, 128, 4, 5, 128, 128, 4, 5,
                                                                128, 128, 6, 7, 128, 128, 6, 7, 128, 128, 6, 7, 128, 128, 6, 7};
  std::uint64_t some = 0;
  hwy::CopyBytes<kBytes>(scale, &some);
  const auto all = hn::BitCast(d8, hn::Set(hn::Repartition<std::uint64_t, D8>(), some));
  return hn::BitCast(hn::Repartition<float, D8>(), hn::TableLookupBytesOr0(all, hn::Load(d8, kUpperHalves)));
}

// The part of dots_i4 that [i, i + Lanes(d8)) bytes of nibbles give, added to sum.
template <class Quads, class D8, int kX>
HWY_INLINE void add_i4(D8 d8, const std::uint8_t* w, const std::uint16_t* scale, const Digits& x, std::int64_t row,
                       std::int64_t i, V<hn::Repartition<float, D8>> (&sum)[kX]) {
  const hn::RebindToSigned<D8> di8;
  const hn::Repartition<std::uint16_t, D8> d16;
  const I32<D8> d32;
  const hn::Repartition<float, D8> d;
  const auto code = hn::LoadDup128(d8, kI4Code);
  const auto nibble = hn::Set(d8, 15);
  const auto both = hn::LoadU(d8, w + i);
  const auto first = hn::TableLookupBytes(code, hn::And(both, nibble));
  const auto second = hn::TableLookupBytes(code, hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, both))), nibble));
  const auto scales = group_scales(d8, scale + i / kI4GroupBytes);
  HWY_UNROLL(8)
  for (int a = 0; a < kX; ++a) {
    const std::int8_t* const digits = x.row(row + a) + i;
    auto s = hn::Zero(d32);
    HWY_UNROLL(3)
    for (int k = 0; k < Quads::kI4Form.count; ++k) {
      if (k > 0) s = hn::ShiftLeft<Quads::kI4Form.bits>(s);
      s = Quads()(d8, s, first, hn::LoadU(di8, digits + k * x.stride));
      s = Quads()(d8, s, second, hn::LoadU(di8, digits + k * x.stride + x.stride / 2));
    }
    s = hn::Sub(s, hn::LoadU(d32, x.zero(row + a) + i / 4));
    sum[a] = hn::MulAdd(hn::ConvertTo(d, s), scales, sum[a]);
  }
}

// y[a] = x[row + a] w for kX rows of x. The four sums of one group, of 8 products each, fit 32 bits: 8 243 2^20 < 2^31.
template <class Quads, int kX>
HWY_INLINE void dots_i4(const std::uint8_t* w, const std::uint16_t* scale, const Digits& x, std::int64_t row, float* y) {
  using Block = HWY_CAPPED(std::uint8_t, kI4GroupBytes);
  const U8 d8;
  const Block block;
  const F32 d;
  const hn::Repartition<float, Block> d_block;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d8));
  const std::int64_t bytes = x.n / 2;
  V<F32> sum[kX];
  V<hn::Repartition<float, Block>> rest[kX];
  for (auto& s : sum) s = hn::Zero(d);
  for (auto& s : rest) s = hn::Zero(d_block);
  std::int64_t i = 0;
  for (; i + lanes <= bytes; i += lanes) {
    prefetch_stream(w + i, lanes);
    add_i4<Quads>(d8, w, scale, x, row, i, sum);
  }
  for (; i < bytes; i += kI4GroupBytes) add_i4<Quads>(block, w, scale, x, row, i, rest);
  for (int a = 0; a < kX; ++a) {
    const float total = hn::GetLane(hn::SumOfLanes(d, sum[a])) + hn::GetLane(hn::SumOfLanes(d_block, rest[a]));
    y[a] = x.scale[row + a] * total;
  }
}

#else

struct AddQuads {};

inline float whole_digits(const Digits& x, std::int64_t row, std::int64_t i) {
  std::int32_t whole = 0;
  for (int k = 0; k < x.form.count; ++k) whole = (whole << x.form.bits) + x.row(row, k)[i];
  return static_cast<float>(whole);
}

template <class, int kX>
void dots_i8(const std::uint8_t* w, const Digits& x, std::int64_t row, float* y) {
  for (int a = 0; a < kX; ++a) {
    float sum = 0.0f;
    for (std::int64_t i = 0; i < x.n; ++i) sum += static_cast<float>(w[i]) * whole_digits(x, row + a, i);
    y[a] = x.scale[row + a] * sum;
  }
}

template <class, int kX>
void dots_i4(const std::uint8_t* w, const std::uint16_t* scale, const Digits& x, std::int64_t row, float* y) {
  for (int a = 0; a < kX; ++a) {
    float sum = 0.0f;
    for (std::int64_t i = 0; i < x.n; ++i) {
      sum += i4_value(w, scale, i) *
             whole_digits(x, row + a,
                          i % kI4Group / kI4GroupBytes * x.stride / 2 + i / kI4Group * kI4GroupBytes + i % kI4GroupBytes);
    }
    y[a] = x.scale[row + a] * sum;
  }
}

#endif

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
