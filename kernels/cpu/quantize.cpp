// SPDX-License-Identifier: Apache-2.0
// Quantisation to 8 bits, row by row, and to 4, group by group. Selection by comparison, because Min and Max differ between
// machines for NaN and zeros.
#include "kernels/quantize.h"

#include <hwy/base.h>

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantize.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"
#include "kernels/i4.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// As std::min and std::max: y only where it is really smaller or larger.
template <class D>
HWY_INLINE V<D> min_of(D, V<D> x, V<D> y) {
  return hn::IfThenElse(hn::Lt(y, x), y, x);
}
template <class D>
HWY_INLINE V<D> max_of(D, V<D> x, V<D> y) {
  return hn::IfThenElse(hn::Lt(x, y), y, x);
}

struct Least {
  static constexpr float kStart = std::numeric_limits<float>::infinity();
  template <class D>
  static HWY_INLINE V<D> pick(D d, V<D> x, V<D> y) {
    return min_of(d, x, y);
  }
};
struct Most {
  static constexpr float kStart = -std::numeric_limits<float>::infinity();
  template <class D>
  static HWY_INLINE V<D> pick(D d, V<D> x, V<D> y) {
    return max_of(d, x, y);
  }
};

// Two chains hide the latency of comparing and choosing.
template <class Which>
HWY_INLINE float extreme(const float* row, std::int64_t n) {
  const F32 d;
  const One one;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto a = hn::Set(d, Which::kStart), b = a;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = Which::pick(d, a, hn::LoadU(d, row + i));
    b = Which::pick(d, b, hn::LoadU(d, row + i + lanes));
  }
  HWY_ALIGN float found[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(Which::pick(d, a, b), d, found);
  auto result = hn::Set(one, Which::kStart);
  for (std::int64_t lane = 0; lane < lanes; ++lane) result = Which::pick(one, result, hn::LoadU(one, found + lane));
  for (; i < n; ++i) result = Which::pick(one, result, hn::LoadU(one, row + i));
  return hn::GetLane(result);
}

float smallest(const float* row, std::int64_t n) {
  const float x = extreme<Least>(row, n);
  return x == 0.0f ? *std::find(row, row + n, x) : x;  // 0 or -0, whichever comes first
}

float largest(const float* row, std::int64_t n) { return extreme<Most>(row, n); }

void subtract(float x, float* row, std::int64_t n) {
  for_vectors(n,
              [=](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(hn::Sub(hn::LoadU(d, row + i), hn::Set(d, x)), d, row + i); });
}

void subtract_each(const float* x, float* row, std::int64_t n) {
  for_vectors(
      n, [=](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(hn::Sub(hn::LoadU(d, row + i), hn::LoadU(d, x + i)), d, row + i); });
}

void lower(const float* row, float x, float* my, std::int64_t n) {
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    hn::StoreU(min_of(d, hn::LoadU(d, my + i), hn::Sub(hn::LoadU(d, row + i), hn::Set(d, x))), d, my + i);
  });
}

void raise(const float* row, float rx, float* ry, std::int64_t n) {
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    hn::StoreU(max_of(d, hn::LoadU(d, ry + i), hn::Div(hn::LoadU(d, row + i), hn::Set(d, rx))), d, ry + i);
  });
}

void quantize(const float* row, float rx, const float* ry, std::uint8_t* q, std::int64_t n) {
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    using D = decltype(d);
    const auto share = hn::Div(hn::Div(hn::LoadU(d, row + i), hn::Set(d, rx)), hn::LoadU(d, ry + i));
    const auto whole = hn::Floor(hn::Mul(share, hn::Set(d, 256.0f)));
    const auto inside = min_of(d, hn::Set(d, 255.0f), max_of(d, hn::Zero(d), whole));
    const hn::Rebind<std::uint8_t, D> du8;
    hn::StoreU(hn::DemoteTo(du8, hn::ConvertTo(hn::RebindToSigned<D>(), inside)), du8, q + i);
  });
}

// The code nearest to each x / scale; which of the 16 it is, where it is asked for.
template <class D>
HWY_INLINE V<D> nearest_code(D d, V<D> x, float inverse, V<D>* which = nullptr) {
  const auto code = [](int k) { return static_cast<float>(kI4Code[k] - kI4Zero); };
  const auto t = hn::Mul(x, hn::Set(d, inverse));
  auto nearest = hn::Set(d, code(0));
  if (which) *which = hn::Zero(d);
  HWY_UNROLL(15)
  for (int k = 1; k < 16; ++k) {
    const auto above = hn::Gt(t, hn::Set(d, 0.5f * (code(k - 1) + code(k))));
    nearest = hn::IfThenElse(above, hn::Set(d, code(k)), nearest);
    if (which) *which = hn::IfThenElse(above, hn::Set(d, static_cast<float>(k)), *which);
  }
  return nearest;
}

// Sums over a group of c^2, c w and (s c - w)^2, c being the codes nearest to w / s.
struct Fit {
  float squares, products, error;
};
HWY_INLINE Fit fit(const float* w, float s) {
  const F32 d;
  const float inverse = 1.0f / s;
  auto squares = hn::Zero(d), products = squares, error = squares;
  for (std::int64_t i = 0; i < kI4Group; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto x = hn::LoadU(d, w + i), c = nearest_code(d, x, inverse);
    squares = hn::MulAdd(c, c, squares);
    products = hn::MulAdd(c, x, products);
    const auto e = hn::MulSub(c, hn::Set(d, s), x);
    error = hn::MulAdd(e, e, error);
  }
  const auto sum = [d](auto v) HWY_ATTR { return hn::GetLane(hn::SumOfLanes(d, v)); };
  return {sum(squares), sum(products), sum(error)};
}

HWY_INLINE float round_to_bf16(float x) { return bf16_to_f32(f32_to_bf16(x)); }

// Tries both signs, as the codes reach further on one side, and two sizes: the largest number becomes the last code or lies a
// little beyond it. For the codes that gives, the scale with the least square error. A third size gains 0.5 % of the error.
float best_scale(const float* w) {
  const float* const end = w + kI4Group;
  if (std::any_of(w, end, [](float x) { return !std::isfinite(x); })) return std::numeric_limits<float>::quiet_NaN();
  const float most = *std::max_element(w, end, [](float a, float b) { return std::abs(a) < std::abs(b); });
  float best = 0.0f, least = std::numeric_limits<float>::infinity();
  for (const int last : {kI4Code[0] - kI4Zero, kI4Code[15] - kI4Zero}) {
    const float whole = most / static_cast<float>(last);
    if (best == 0.0f) best = round_to_bf16(whole);  // whose squares overflow or vanish keeps it
    for (const float size : {0.9f, 1.0f}) {
      const Fit found = fit(w, size * whole);
      const float s = round_to_bf16(found.products / found.squares);
      const float error = std::isnormal(s) ? fit(w, s).error : least;
      if (error < least) {
        least = error;
        best = s;
      }
    }
  }
  return best;
}

void quantize_i4(const float* w, std::int64_t n_group, std::uint8_t* q, std::uint16_t* scale) {
  const F32 d;
  const hn::Rebind<std::uint8_t, F32> d8;
  for (std::int64_t g = 0; g < n_group; ++g, w += kI4Group, q += kI4GroupBytes) {
    const float s = best_scale(w);
    scale[g] = f32_to_bf16(s);
    const float inverse = std::isnormal(s) ? 1.0f / s : 0.0f;
    HWY_ALIGN std::uint8_t which[kI4Group];
    for (std::int64_t i = 0; i < kI4Group; i += static_cast<std::int64_t>(hn::Lanes(d))) {
      auto found = hn::Zero(d);
      nearest_code(d, hn::LoadU(d, w + i), inverse, &found);
      hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(hn::RebindToSigned<F32>(), found)), d8, which + i);
    }
    for (std::int64_t i = 0; i < kI4GroupBytes; ++i) q[i] = static_cast<std::uint8_t>(which[i] | which[kI4GroupBytes + i] << 4);
  }
}

QuantizeKernels kernels() { return {smallest, largest, subtract, subtract_each, lower, raise, quantize, quantize_i4}; }

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
QuantizeKernels best_quantize_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
namespace rwkv {
QuantizeKernels quantize_kernels() { return cpu::best_quantize_kernels(); }
}  // namespace rwkv
#endif
