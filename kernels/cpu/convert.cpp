// SPDX-License-Identifier: Apache-2.0
// Conversions as integer operations, so that every instruction set gives the bits of half.h, NaN included.
#include "kernels/convert.h"

#include <hwy/base.h>

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// Tags beside D, of float32: its bits as signed numbers (none of those compared is negative), and the 16-bit types.
template <class D>
using I32 = hn::RebindToSigned<D>;
template <class D>
using U16 = hn::Rebind<std::uint16_t, D>;

template <class D>
HWY_INLINE V<I32<D>> load_16(D, const void* in, std::int64_t i) {
  return hn::PromoteTo(I32<D>(), hn::LoadU(U16<D>(), static_cast<const std::uint16_t*>(in) + i));
}

template <class D>
HWY_INLINE void store_16(D, V<I32<D>> bits, void* out, std::int64_t i) {
  hn::StoreU(hn::DemoteTo(U16<D>(), bits), U16<D>(), static_cast<std::uint16_t*>(out) + i);
}

struct F32Bits {
  template <class D>
  static HWY_INLINE V<I32<D>> load(D, const void* in, std::int64_t i) {
    return hn::LoadU(I32<D>(), static_cast<const std::int32_t*>(in) + i);
  }
  template <class D>
  static HWY_INLINE V<I32<D>> store(D, V<I32<D>> bits, void* out, std::int64_t i) {
    hn::StoreU(bits, I32<D>(), static_cast<std::int32_t*>(out) + i);
    return hn::Zero(I32<D>());
  }
};

struct F16Bits {
  // The exponent moves from bias 15 to 127: 112 is added; infinities need 112 more; what has exponent 0 gets 2^-14 added in
  // front and taken away as a float, which normalises it.
  template <class D>
  static HWY_INLINE V<I32<D>> load(D d, const void* in, std::int64_t i) {
    const I32<D> di;
    const auto h = load_16(d, in, i);
    const auto sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(di, 0x8000)));
    const auto rest = hn::ShiftLeft<13>(hn::And(h, hn::Set(di, 0x7fff)));
    const auto bias = hn::Set(di, 112 << 23), implicit_one = hn::Set(di, 113 << 23);
    const auto normal = hn::Add(rest, bias);
    const auto subnormal = hn::Sub(hn::BitCast(d, hn::Add(rest, implicit_one)), hn::BitCast(d, implicit_one));
    auto bits = hn::IfThenElse(hn::Lt(rest, hn::Set(di, 0x0400 << 13)), hn::BitCast(di, subnormal), normal);
    bits = hn::IfThenElse(hn::Gt(rest, hn::Set(di, 0x7bff << 13)), hn::Add(normal, bias), bits);
    return hn::Or(sign, bits);
  }
  // Returns the magnitudes: from 0x7c00 on they are infinite or NaN.
  template <class D>
  static HWY_INLINE V<I32<D>> store(D d, V<I32<D>> bits, void* out, std::int64_t i) {
    const I32<D> di;
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 0x8000));
    const auto a = hn::And(bits, hn::Set(di, 0x7fffffff));
    const auto odd = hn::And(hn::ShiftRight<13>(a), hn::Set(di, 1));
    const auto rounded = hn::Add(hn::Add(hn::Sub(a, hn::Set(di, 112 << 23)), hn::Set(di, 0xfff)), odd);
    // Adding 0.5 puts the bits of a subnormal at the bottom of the mantissa, rounded to nearest even by the addition.
    const auto shifted = hn::BitCast(di, hn::Add(hn::BitCast(d, a), hn::Set(d, 0.5f)));
    auto h = hn::Min(hn::ShiftRight<13>(rounded), hn::Set(di, 0x7c00));
    h = hn::IfThenElse(hn::Lt(a, hn::Set(di, 0x38800000)), hn::Sub(shifted, hn::Set(di, 0x3f000000)), h);
    h = hn::IfThenElse(hn::Gt(a, hn::Set(di, 0x7f800000)), hn::Set(di, 0x7e00), h);
    store_16(d, hn::Or(sign, h), out, i);
    return h;
  }
};

struct Bf16Bits {
  template <class D>
  static HWY_INLINE V<I32<D>> load(D d, const void* in, std::int64_t i) {
    return hn::ShiftLeft<16>(load_16(d, in, i));
  }
  template <class D>
  static HWY_INLINE V<I32<D>> store(D d, V<I32<D>> bits, void* out, std::int64_t i) {
    const I32<D> di;
    const hn::RebindToUnsigned<D> du;  // shifts bring no sign in
    const auto u = hn::BitCast(du, bits);
    const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(u, hn::Set(du, 0x7fff)), odd));
    const auto nan = hn::Or(hn::ShiftRight<16>(u), hn::Set(du, 0x40));
    const auto is_nan = hn::Gt(hn::And(bits, hn::Set(di, 0x7fffffff)), hn::Set(di, 0x7f800000));
    store_16(d, hn::IfThenElse(is_nan, hn::BitCast(di, nan), hn::BitCast(di, rounded)), out, i);
    return hn::Zero(di);
  }
};

template <class From, class To>
bool convert(const void* in, void* out, std::int64_t n) {
  const F32 d;
  const I32<F32> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto largest = hn::Zero(di);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) largest = hn::Max(largest, To::store(d, From::load(d, in, i), out, i));
  std::int32_t rest = 0;
  for (const One one; i < n; ++i) rest = std::max(rest, hn::GetLane(To::store(one, From::load(one, in, i), out, i)));
  return std::max(rest, hn::GetLane(hn::MaxOfLanes(di, largest))) >= 0x7c00;
}

template <int bytes>
bool copy(const void* in, void* out, std::int64_t n) {
  std::memcpy(out, in, static_cast<std::size_t>(n) * bytes);
  return false;
}

Convert choose(DType from, DType to) {
  const auto index = [](DType type) { return type == DType::f32 ? 0 : type == DType::f16 ? 1 : 2; };
  constexpr Convert kAll[3][3] = {{copy<4>, convert<F32Bits, F16Bits>, convert<F32Bits, Bf16Bits>},
                                  {convert<F16Bits, F32Bits>, copy<2>, convert<F16Bits, Bf16Bits>},
                                  {convert<Bf16Bits, F32Bits>, convert<Bf16Bits, F16Bits>, copy<2>}};
  return kAll[index(from)][index(to)];
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(choose);
Convert best_converter(DType from, DType to) { return HWY_DYNAMIC_DISPATCH(choose)(from, to); }
}  // namespace rwkv::cpu
namespace rwkv {
Convert converter(DType from, DType to) { return cpu::best_converter(from, to); }
}  // namespace rwkv
#endif
