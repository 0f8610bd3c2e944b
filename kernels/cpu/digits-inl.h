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
  std::int64_t n = 0;       // of a row
  std::int64_t stride = 0;  // from row to row, bytes
  // [R, stride]. In order: digit after digit, each stride / count. Rows of i4: blocks of kI4Block bytes for 64 bytes of
  // weights, in lines of 64: of each digit the first and the second halves of the groups; then 16 int32, see add_zeros.
  std::vector<CacheLine> memory;
  std::vector<float> scale;  // [R]; NaN where x holds NaN or infinity

  Digits() = default;
  Digits(DigitForm digits, std::int64_t rows, std::int64_t n_col, std::int64_t row_bytes)
      : form(digits), n(n_col), stride(row_bytes), memory(rows * stride / 64), scale(rows) {}

  [[nodiscard]] const std::int8_t* row(std::int64_t r) const {
    return reinterpret_cast<const std::int8_t*>(memory.data()) + r * stride;
  }
  [[nodiscard]] std::int8_t* row(std::int64_t r) { return const_cast<std::int8_t*>(std::as_const(*this).row(r)); }
};

constexpr std::int64_t i4_block(DigitForm form) { return (2 * form.count + 1) * 64; }

// Where the first digit of number i is in its row of blocks; the others are 128 apart.
constexpr std::int64_t i4_place(DigitForm form, std::int64_t i) {
  const auto u = static_cast<std::uint64_t>(i);
  return static_cast<std::int64_t>(u / 128 * i4_block(form) + u % 32 / 16 * 64 + u % 128 / 32 * 16 + u % 16);
}

// One row: x[i] = scale (whole number), and that in digits, the highest first: digit k goes to digit[place(i) + k apart].
// Returns the scale.
template <class Place>
HWY_INLINE float split(const float* x, std::int64_t n, DigitForm form, std::int8_t* digit, const Place& place,
                       std::int64_t apart) {
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
    std::int8_t* const to = digit + place(i);
    for (int k = form.count - 1; k > 0; --k) {
      const auto lowest = hn::Sub(hn::And(hn::Add(left, half), mask), half);
      hn::StoreU(hn::DemoteTo(d8, lowest), d8, to + k * apart);
      left = hn::ShiftRightSame(hn::Sub(left, lowest), form.bits);
    }
    hn::StoreU(hn::DemoteTo(d8, left), d8, to);
  });
  return (inverse > 0.0f ? most / form.largest : 0.0f) + poison;
}

// Whether AddQuadsVbmi multiplies i4.
inline bool is_vbmi() { return HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 && has_vbmi(); }

// The digits of a row one after the other: for i8, and for input-major i4.
inline Digits digits_in_order(DigitForm form, const float* x, std::int64_t rows, std::int64_t n) {
  const std::int64_t apart = (n + 63) / 64 * 64;
  Digits out(form, rows, n, form.count * apart);
  for (std::int64_t r = 0; r < rows; ++r) {
    out.scale[r] = split(
        x + r * n, n, form, out.row(r), [](std::int64_t i) { return i; }, apart);
  }
  return out;
}

#if HWY_TARGET != HWY_SCALAR

template <class D8>
using I32 = hn::Repartition<std::int32_t, D8>;

// sum[j] + w[4 j] x[4 j] + ... + w[4 j + 3] x[4 j + 3], w unsigned, x of -64 .. 64, so that two products fit 16 bits.
struct AddQuads {
  static constexpr DigitForm kI4Form = kThreeDigits;
  static constexpr bool kStartsFromZeros = false;
  // code[index & 15] for every byte of index.
  template <class D8>
  static HWY_INLINE V<D8> lookup(D8 d8, V<D8> code, V<D8> index) {
    return hn::TableLookupBytes(code, hn::And(index, hn::Set(d8, 15)));
  }
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
struct AddQuadsVnni : AddQuads {
  static constexpr DigitForm kI4Form = kTwoDigits;
  template <class D8>
  HWY_INLINE V<I32<D8>> operator()(D8, V<I32<D8>> sum, V<D8> w, V<hn::RebindToSigned<D8>> x) const {
    return {add_quads_vnni(sum.raw, w.raw, x.raw)};
  }
};

// Saves instructions: a lookup heeds no more bits of an index than it has bytes to choose from, 16 to 64, so the codes
// repeated need no mask; and sums start from what would be subtracted.
struct AddQuadsVbmi : AddQuadsVnni {
  static constexpr bool kStartsFromZeros = true;
  template <class D8>
  static HWY_INLINE V<D8> lookup(D8, V<D8> code, V<D8> index) {
    return {lookup_bytes_vbmi(code.raw, index.raw)};
  }
  // 2^8 sum, and the upper 8 bits of zeros below it.
  template <class V32>
  static HWY_INLINE V32 shift(V32 sum, V32 zeros) {
    return {shift_in_byte_vbmi(sum.raw, zeros.raw)};
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
  const std::int64_t apart = x.stride / kCount;
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
          sum[a][c][k] = Quads()(d8, sum[a][c][k], weights, hn::LoadU(di8, digits + (a * kCount + k) * apart + i + c * lanes));
        }
      }
    }
  }
  for (int a = 0; a < kX; ++a) {
    float rest = 0.0f;
    for (std::int64_t j = i; j < x.n; ++j) {
      const std::int8_t* const at = digits + a * x.stride + j;
      rest += static_cast<float>(w[j] * (at[0] * 16384 + at[apart] * 128 + at[2 * apart]));
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

// The sums of 4 products of the numbers in the lower and 4 of those in the upper halves of bytes, with their x from a block.
template <class Quads, class D8>
HWY_INLINE V<I32<D8>> sum_i4(D8 d8, V<D8> first, V<D8> second, const std::int8_t* x, V<I32<D8>> zeros) {
  const hn::RebindToSigned<D8> di8;
  const I32<D8> d32;
  auto s = Quads::kStartsFromZeros ? zeros : hn::Zero(d32);
  HWY_UNROLL(3)
  for (int k = 0; k < Quads::kI4Form.count; ++k) {
    if constexpr (Quads::kStartsFromZeros) {
      if (k > 0) s = Quads::shift(s, zeros);
    } else {
      s = hn::ShiftLeft<Quads::kI4Form.bits>(s);
    }
    s = Quads()(d8, s, first, hn::Load(di8, x + k * 128));
    s = Quads()(d8, s, second, hn::Load(di8, x + k * 128 + 64));
  }
  return Quads::kStartsFromZeros ? s : hn::Sub(s, zeros);
}

// The end of a block: kI4Zero times the sums of each 4 numbers and the 4 that share their bytes. For AddQuadsVbmi minus that,
// rotated such that its shift of what a sum starts from gives it.
template <class Quads>
HWY_INLINE void add_zeros(std::int8_t* block) {
  using D8 = HWY_CAPPED(std::uint8_t, 64);
  const D8 d8;
  const hn::Repartition<std::uint32_t, D8> d32;
  const auto none = hn::Set(d8, kI4Zero);
  for (std::size_t j = 0; j < 64; j += hn::MaxLanes(d8)) {
    auto zeros = hn::BitCast(d32, sum_i4<Quads>(d8, none, none, block + j, hn::Zero(I32<D8>())));
    if constexpr (Quads::kStartsFromZeros) zeros = hn::RotateRight<8>(hn::Sub(hn::Zero(d32), zeros));
    hn::Store(zeros, d32, reinterpret_cast<std::uint32_t*>(block + 128 * Quads::kI4Form.count + j));
  }
}

// The part of dots_i4 that Lanes(d8) bytes of nibbles at w give, added to sum. x: the same place in the first row's block.
template <class Quads, class D8, int kX>
HWY_INLINE void add_i4(D8 d8, const std::uint8_t* w, const std::uint16_t* scale, const std::int8_t* x, std::int64_t stride,
                       V<hn::Repartition<float, D8>> (&sum)[kX]) {
  const hn::Repartition<std::uint16_t, D8> d16;
  const I32<D8> d32;
  const hn::Repartition<float, D8> d;
  const auto code = hn::LoadDup128(d8, kI4Code);
  const auto both = hn::LoadU(d8, w);
  const auto first = Quads::lookup(d8, code, both);
  const auto second = Quads::lookup(d8, code, hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, both))));
  const auto scales = group_scales(d8, scale);
  HWY_UNROLL(8)
  for (int a = 0; a < kX; ++a, x += stride) {
    const auto zeros = hn::Load(d32, reinterpret_cast<const std::int32_t*>(x + 128 * Quads::kI4Form.count));
    sum[a] = hn::MulAdd(hn::ConvertTo(d, sum_i4<Quads>(d8, first, second, x, zeros)), scales, sum[a]);
  }
}

using Wide = HWY_CAPPED(std::uint8_t, 64);
constexpr std::size_t kWideSums = hn::MaxLanes(hn::Repartition<float, Wide>());

// sums[a][.] add up to x[row + a] w / x.scale[row + a] for kX rows of x. The four sums of one group, of 8 products each, fit 32
// bits: 8 243 2^20 < 2^31.
template <class Quads, int kX>
HWY_INLINE void dots_i4(const std::uint8_t* w, const std::uint16_t* scale, const Digits& x, std::int64_t row,
                        float (*sums)[kWideSums], std::int64_t apart) {
  const Wide wide;
  const hn::Repartition<float, Wide> d;
  const HWY_CAPPED(std::uint8_t, kI4GroupBytes) narrow;
  const hn::Repartition<float, decltype(narrow)> d_narrow;
  const std::int8_t* digits = x.row(row);
  const std::int64_t bytes = x.n / 2;
  V<decltype(d)> sum[kX];
  for (auto& s : sum) s = hn::Zero(d);
  prefetch_stream(scale, x.n / kI4Group);
  for (std::int64_t i = 0; i < bytes / 64; ++i, w += 64, scale += 4, digits += i4_block(Quads::kI4Form)) {
    prefetch_stream(w, 64);
    HWY_UNROLL(4)
    for (std::size_t j = 0; j < 64; j += hn::MaxLanes(wide)) {
      add_i4<Quads>(wide, w + j, scale + j / kI4GroupBytes, digits + j, x.stride, sum);
    }
  }
  for (int a = 0; a < kX; ++a) hn::Store(sum[a], d, sums[a * apart]);
  if (bytes % 64 == 0) return;
  V<decltype(d_narrow)> rest[kX];
  for (int a = 0; a < kX; ++a) rest[a] = hn::Load(d_narrow, sums[a * apart]);
  for (std::int64_t j = 0; j < bytes % 64; j += kI4GroupBytes) {
    add_i4<Quads>(narrow, w + j, scale + j / kI4GroupBytes, digits + j, x.stride, rest);
  }
  for (int a = 0; a < kX; ++a) hn::Store(rest[a], d_narrow, sums[a * apart]);
}

// y[i] = the sum of lanes i, i + 4, i + 8 ..., i < 4.
template <class D>
HWY_INLINE void add_up_blocks(D d, V<D> sum, float* y) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    hn::StoreU(sum, d, y);
  } else {
    const hn::Half<D> half;
    add_up_blocks(half, hn::Add(hn::LowerHalf(half, sum), hn::UpperHalf(half, sum)), y);
  }
}

// y[i] = the sum of sums[i], i < 4.
HWY_INLINE void add_up_four(const float (*sums)[kWideSums], float* y) {
  const hn::Repartition<float, Wide> d;
  const hn::Repartition<std::uint64_t, Wide> pairs;
  const auto both = [&](int i) HWY_ATTR {
    const auto a = hn::Load(d, sums[i]), b = hn::Load(d, sums[i + 1]);
    return hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  };
  const auto first = both(0), second = both(2);
  const auto four = hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, first, second)),
                            hn::BitCast(d, hn::InterleaveUpper(pairs, first, second)));
  add_up_blocks(d, four, y);
}

// y[a][b] = x[row + a] times row b of W, b < count. The lanes of four sums are added up together, as a row is short.
template <class Quads, int kX, int kColumns>
HWY_INLINE void rows_i4(const std::uint8_t* w, const std::uint16_t* scale, const Digits& x, std::int64_t row,
                        std::int64_t count, float (&y)[kX][kColumns]) {
  alignas(64) float sums[kX][kColumns][kWideSums];
  for (std::int64_t b = 0; b < count; ++b, w += x.n / 2, scale += x.n / kI4Group) {
    dots_i4<Quads, kX>(w, scale, x, row, &sums[0][b], kColumns);
  }
  for (int a = 0; a < kX; ++a) {
    for (std::int64_t b = count; b % 4 != 0; ++b) std::fill_n(sums[a][b], kWideSums, 0.0f);
    for (std::int64_t b = 0; b < count; b += 4) add_up_four(&sums[a][b], &y[a][b]);
    for (std::int64_t b = 0; b < count; ++b) y[a][b] *= x.scale[row + a];
  }
}

#else

struct AddQuads {
  static constexpr DigitForm kI4Form = kThreeDigits;
};

template <class>
void add_zeros(std::int8_t*) {}

// From its highest digit; the others are `apart`.
inline float whole_number(const std::int8_t* digit, std::int64_t apart) {
  return static_cast<float>(digit[0] * 16384 + digit[apart] * 128 + digit[2 * apart]);
}

template <class, int kX>
void dots_i8(const std::uint8_t* w, const Digits& x, std::int64_t row, float* y) {
  for (int a = 0; a < kX; ++a) {
    float sum = 0.0f;
    for (std::int64_t i = 0; i < x.n; ++i) {
      sum += static_cast<float>(w[i]) * whole_number(x.row(row + a) + i, x.stride / kThreeDigits.count);
    }
    y[a] = x.scale[row + a] * sum;
  }
}

template <class, int kX, int kColumns>
void rows_i4(const std::uint8_t* w, const std::uint16_t* scale, const Digits& x, std::int64_t row, std::int64_t count,
             float (&y)[kX][kColumns]) {
  for (std::int64_t b = 0; b < count; ++b, w += x.n / 2, scale += x.n / kI4Group) {
    for (int a = 0; a < kX; ++a) {
      float sum = 0.0f;
      for (std::int64_t i = 0; i < x.n; ++i) {
        sum += i4_value(w, scale, i) * whole_number(x.row(row + a) + i4_place(kThreeDigits, i), 128);
      }
      y[a][b] = x.scale[row + a] * sum;
    }
  }
}

#endif

// n is a multiple of kI4Group.
template <class Quads>
Digits digits_for_i4(const float* x, std::int64_t rows, std::int64_t n) {
  constexpr DigitForm kForm = Quads::kI4Form;
  Digits out(kForm, rows, n, (n + 127) / 128 * i4_block(kForm));
  for (std::int64_t r = 0; r < rows; ++r) {
    out.scale[r] = split(
        x + r * n, n, kForm, out.row(r), [](std::int64_t i) { return i4_place(kForm, i); }, 128);
    for (std::int64_t at = 0; at < out.stride; at += i4_block(kForm)) add_zeros<Quads>(out.row(r) + at);
  }
  return out;
}

inline Digits digits_for_i4(const float* x, std::int64_t rows, std::int64_t n) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if (has_vbmi()) return digits_for_i4<AddQuadsVbmi>(x, rows, n);
  if (has_vnni()) return digits_for_i4<AddQuadsVnni>(x, rows, n);
#endif
  return digits_for_i4<AddQuads>(x, rows, n);
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
