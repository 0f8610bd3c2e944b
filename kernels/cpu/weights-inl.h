// SPDX-License-Identifier: Apache-2.0
// How the numbers of each weight type become float32 vectors. Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_WEIGHTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_WEIGHTS_INL
#undef RWKV_CPU_WEIGHTS_INL
#else
#define RWKV_CPU_WEIGHTS_INL
#endif

#include "kernels/cpu/simd-inl.h"
#include "kernels/half.h"
#include "kernels/i4.h"
#include "kernels/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

struct LoadF32 {
  using Type = float;
  static HWY_INLINE V<F32> load(F32 d, const float* p) { return hn::LoadU(d, p); }
  static float one(float x) { return x; }
};

struct LoadF16 {
  using Type = std::uint16_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint16_t* p) {
    const hn::Rebind<hwy::float16_t, F32> d16;
    return hn::PromoteTo(d, hn::BitCast(d16, hn::LoadU(hn::RebindToUnsigned<decltype(d16)>(), p)));
  }
  static float one(std::uint16_t x) { return f16_to_f32(x); }
};

// A bfloat16 is the upper half of a float32: widen to 32 bits and shift.
struct LoadBf16 {
  using Type = std::uint16_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint16_t* p) {
    const hn::Repartition<std::uint32_t, F32> d32;
    const hn::Rebind<std::uint16_t, F32> d16;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, p))));
  }
  static float one(std::uint16_t x) { return bf16_to_f32(x); }
};

// q; the half step and the scales of rows and columns are added outside.
struct LoadI8 {
  using Type = std::uint8_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint8_t* p) {
    const hn::Repartition<std::int32_t, F32> d32;
    const hn::Rebind<std::uint8_t, F32> d8;
    return hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, p)));
  }
  static float one(std::uint8_t x) { return static_cast<float>(x); }
};

// Rounded to a bfloat16 in the upper half, to nearest even; of numbers, not of NaN. The lower half is what it is.
HWY_INLINE V<F32> round_bf16(V<F32> x) {
  const hn::Repartition<std::uint32_t, F32> d32;
  const auto bits = hn::BitCast(d32, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
  return hn::BitCast(F32(), hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fff))));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
// All 16 codes.
HWY_INLINE V<F32> i4_codes() {
  const F32 d;
  const hn::Repartition<std::int32_t, F32> d32;
  return hn::Sub(hn::ConvertTo(d, hn::PromoteTo(d32, hn::Load(hn::Rebind<std::uint8_t, F32>(), kI4Code))),
                 hn::Set(d, static_cast<float>(kI4Zero)));
}

// body(i, numbers of the table that the nibbles [i, i + 16) of a group name). A lookup heeds the lowest four bits of an index
// only. Without a mask GCC 12 warns (105593).
template <class Body>
HWY_INLINE void look_up(const std::uint8_t* q, V<F32> table, const Body& body) {
  constexpr __mmask16 kAll = 0xffff;
  const auto both = hn::PromoteTo(hn::Repartition<std::int32_t, F32>(), hn::LoadU(hn::Rebind<std::uint8_t, F32>(), q));
  body(0, V<F32>{_mm512_maskz_permutexvar_ps(kAll, both.raw, table.raw)});
  body(kI4GroupBytes, V<F32>{_mm512_maskz_permutexvar_ps(kAll, hn::ShiftRight<4>(both).raw, table.raw)});
}
#endif

// The codes of a group, in order: body(i, codes [i, i + Lanes)) for i < kI4Group.
template <class Body>
HWY_INLINE void for_codes(const std::uint8_t* q, const Body& body) {
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t i = 0; i < kI4Group; ++i) {
    body(i, hn::Set(F32(), static_cast<float>(kI4Code[i4_nibble(q, i)] - kI4Zero)));
  }
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  look_up(q, i4_codes(), body);
#else
  const HWY_CAPPED(std::uint8_t, kI4GroupBytes) d8;
  const F32 d;
  const hn::Rebind<std::uint8_t, F32> d_part;
  const hn::Repartition<std::int32_t, F32> d32;
  const hn::Repartition<std::uint16_t, decltype(d8)> d16;
  const auto code = hn::Load(d8, kI4Code), nibble = hn::Set(d8, 15);
  const auto both = hn::LoadU(d8, q);
  HWY_ALIGN std::uint8_t codes[kI4Group];
  hn::Store(hn::TableLookupBytes(code, hn::And(both, nibble)), d8, codes);
  const auto upper = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, both)));
  hn::Store(hn::TableLookupBytes(code, hn::And(upper, nibble)), d8, codes + kI4GroupBytes);
  for (std::int64_t i = 0; i < kI4Group; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto whole = hn::Sub(hn::PromoteTo(d32, hn::LoadU(d_part, codes + i)), hn::Set(d32, kI4Zero));
    body(i, hn::ConvertTo(d, whole));
  }
#endif
}

// The same of its numbers, codes times scale, rounded to bfloat16.
template <class Body>
HWY_INLINE void for_rounded(const std::uint8_t* q, std::uint16_t scale, const Body& body) {
  const auto factor = hn::Set(F32(), bf16_to_f32(scale));
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  look_up(q, round_bf16(hn::Mul(i4_codes(), factor)), body);
#else
  for_codes(q, [&](std::int64_t i, auto code) HWY_ATTR { body(i, round_bf16(hn::Mul(code, factor))); });
#endif
}

// The upper halves of two vectors of float32, in pairs: a number of a, a number of b.
HWY_INLINE void store_pairs(V<F32> a, V<F32> b, void* to) {
#if HWY_TARGET == HWY_SCALAR
  auto* const pair = static_cast<std::uint16_t*>(to);
  pair[0] = f32_to_bf16(hn::GetLane(a));
  pair[1] = f32_to_bf16(hn::GetLane(b));
#else
  const hn::Repartition<std::uint32_t, F32> d32;
  const hn::Repartition<std::uint16_t, F32> d16;
  const auto pairs = hn::OddEven(hn::BitCast(d16, b), hn::BitCast(d16, hn::ShiftRight<16>(hn::BitCast(d32, a))));
  hn::StoreU(pairs, d16, static_cast<std::uint16_t*>(to));
#endif
}

// body(Load) for the type of a matrix.
template <class Body>
HWY_INLINE void with_load(DType type, const Body& body) {
  switch (type) {
    case DType::f32:
      return body(LoadF32());
    case DType::f16:
      return body(LoadF16());
    case DType::bf16:
      return body(LoadBf16());
    case DType::i8:
      return body(LoadI8());
    case DType::i4:  // has no numbers one by one
      return;
  }
}

template <class T>
HWY_INLINE void prefetch(const T* w, std::int64_t n) {
  const auto* const bytes = reinterpret_cast<const char*>(w);
  for (std::int64_t i = 0; i < n * static_cast<std::int64_t>(sizeof(T)); i += 64) __builtin_prefetch(bytes + i);
}

// Of a stream of weights, [w, w + n) being multiplied now: asks for what comes far behind it into the second-level cache and
// for what is near into the first. The prefetchers of some machines stop at the end of each 4 KiB. One thread of a Sapphire
// Rapids that reads 16.1 GB/s multiplies 11.4 GB/s of bfloat16 when only the first level is asked, 8 KiB ahead; 12.9 with the
// second instead, 15.4 with both.
template <class T>
HWY_INLINE void prefetch_stream(const T* w, std::int64_t n) {
  constexpr std::int64_t kFar = 16384, kNear = 2048;
  const auto* const bytes = reinterpret_cast<const char*>(w);
  for (std::int64_t i = 0; i < n * static_cast<std::int64_t>(sizeof(T)); i += 64) {
    __builtin_prefetch(bytes + i + kFar, 0, 2);
    __builtin_prefetch(bytes + i + kNear);
  }
}

// n stored numbers to float32.
template <class Load>
HWY_INLINE void widen(const typename Load::Type* from, std::int64_t n, float* to) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    prefetch_stream(from + i, lanes);
    hn::StoreU(Load::load(d, from + i), d, to + i);
  }
  for (; i < n; ++i) to[i] = Load::one(from[i]);
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
