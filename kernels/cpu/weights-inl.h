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

// q + 0.5; rows and columns are scaled outside.
struct LoadI8 {
  using Type = std::uint8_t;
  static HWY_INLINE V<F32> load(F32 d, const std::uint8_t* p) {
    const hn::Repartition<std::int32_t, F32> d32;
    const hn::Rebind<std::uint8_t, F32> d8;
    return hn::Add(hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, p))), hn::Set(d, 0.5f));
  }
  static float one(std::uint8_t x) { return static_cast<float>(x) + 0.5f; }
};

// The codes of a group, in order: body(i, codes [i, i + Lanes)) for i < kI4Group.
template <class Body>
HWY_INLINE void for_codes(const std::uint8_t* q, const Body& body) {
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t i = 0; i < kI4Group; ++i) {
    body(i, hn::Set(F32(), static_cast<float>(kI4Code[q[i / 2] >> (i % 2 * 4) & 15] - kI4Zero)));
  }
#else
  const HWY_CAPPED(std::uint8_t, kI4GroupBytes) d8;
  const F32 d;
  const hn::Rebind<std::uint8_t, F32> d_part;
  const hn::Repartition<std::int32_t, F32> d32;
  const hn::Repartition<std::uint16_t, decltype(d8)> d16;
  const auto code = hn::Load(d8, kI4Code), nibble = hn::Set(d8, 15);
  const auto both = hn::LoadU(d8, q);
  const auto even = hn::And(both, nibble), odd = hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, both))), nibble);
  HWY_ALIGN std::uint8_t codes[kI4Group];
  hn::Store(hn::TableLookupBytes(code, hn::InterleaveLower(d8, even, odd)), d8, codes);
  hn::Store(hn::TableLookupBytes(code, hn::InterleaveUpper(d8, even, odd)), d8, codes + kI4GroupBytes);
  for (std::int64_t i = 0; i < kI4Group; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto whole = hn::Sub(hn::PromoteTo(d32, hn::LoadU(d_part, codes + i)), hn::Set(d32, kI4Zero));
    body(i, hn::ConvertTo(d, whole));
  }
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

// How far ahead of what is being multiplied W is asked for: the prefetchers of some machines stop at the end of each 4 KiB,
// where this makes a step 1.3 times as fast; on others it costs nothing.
constexpr std::int64_t kBytesAhead = 8192;

template <class T>
HWY_INLINE void prefetch(const T* w, std::int64_t n) {
  const auto* const bytes = reinterpret_cast<const char*>(w);
  for (std::int64_t i = 0; i < n * static_cast<std::int64_t>(sizeof(T)); i += 64) __builtin_prefetch(bytes + i);
}

// n stored numbers to float32.
template <class Load>
HWY_INLINE void widen(const typename Load::Type* from, std::int64_t n, float* to) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    prefetch(from + i + kBytesAhead / static_cast<std::int64_t>(sizeof(*from)), lanes);
    hn::StoreU(Load::load(d, from + i), d, to + i);
  }
  for (; i < n; ++i) to[i] = Load::one(from[i]);
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
