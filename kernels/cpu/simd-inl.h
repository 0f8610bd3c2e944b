// SPDX-License-Identifier: Apache-2.0
// What the kernels of one instruction set share. Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_SIMD_INL
#undef RWKV_CPU_SIMD_INL
#else
#define RWKV_CPU_SIMD_INL
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using One = HWY_CAPPED(float, 1);  // one lane: what is left at the end of a row
template <class D>
using V = hn::Vec<D>;

// body(d, i) for every vector of [0, n): whole vectors, then the rest lane by lane.
template <class Body>
HWY_INLINE void for_vectors(std::int64_t n, const Body& body) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(d, i);
  for (; i < n; ++i) body(One(), i);
}

// Sum over [0, n) of term(d, i), a vector. Two chains hide the latency of the addition.
template <class Term>
HWY_INLINE float sum_vectors(std::int64_t n, const Term& term) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    s0 = hn::Add(s0, term(d, i));
    s1 = hn::Add(s1, term(d, i + lanes));
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::Add(s0, term(d, i));
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
  for (; i < n; ++i) sum += hn::GetLane(term(One(), i));
  return sum;
}

// y, but NaN where x is NaN: Highway's functions turn it into a number, which would hide a broken model.
template <class D>
HWY_INLINE V<D> keep_nan(V<D> x, V<D> y) {
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// e^x to 2 units in the last place, for x <= 88.7; 0 below -87.3, where results would be subnormal. NaN gives any number.
//   e^x = 2^n e^r, n = x / ln 2 rounded, |r| <= ln 2 / 2; the polynomial is that of Cephes' expf
template <class D>
HWY_INLINE V<D> exp_of_number(D d, V<D> x) {
  const hn::RebindToSigned<D> di;
  const auto round = hn::Set(d, 0x1.8p23f);  // a sum with it has n in its last bits
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), round);
  const auto n = hn::Sub(shifted, round);
  // ln 2 in two parts: n times the first is exact.
  const auto r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x));
  auto p = hn::MulAdd(hn::Set(d, 1.9875691500e-4f), r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  return hn::IfThenElseZero(hn::Ge(x, hn::Set(d, -87.3f)), scaled);
}

// e^x; 0 below -87.3, 3.4e38 above 88.7.
template <class D>
HWY_INLINE V<D> exp(D d, V<D> x) {
  return keep_nan<D>(x, exp_of_number(d, hn::Min(x, hn::Set(d, 88.722f))));
}

// 1 / (1 + e^-x), from e^-|x|, which cannot overflow.
template <class D>
HWY_INLINE V<D> sigmoid(D d, V<D> x) {
  const V<D> one = hn::Set(d, 1.0f);
  const V<D> e = exp_of_number(d, hn::Neg(hn::Abs(x)));
  const V<D> small = hn::Div(e, hn::Add(one, e));
  return keep_nan<D>(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), small, hn::Sub(one, small)));
}

struct Moments {
  float mean;
  float scale;  // 1 / sqrt(variance + eps)
};

// Two passes: the variance of the differences from the mean loses nothing when the mean is large.
HWY_INLINE Moments moments(const float* x, std::int64_t n, float eps) {
  const float mean =
      sum_vectors(n, [x](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); }) / static_cast<float>(n);
  const float squares = sum_vectors(n, [x, mean](auto d, std::int64_t i) HWY_ATTR {
    const auto centred = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
    return hn::Mul(centred, centred);
  });
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(n) + eps)};
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
