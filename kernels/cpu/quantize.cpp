// SPDX-License-Identifier: Apache-2.0
// 8-bit quantisation, row by row. Selection by comparison, because Min and Max differ between machines for NaN and zeros.
#include "kernels/quantize.h"

#include <hwy/base.h>

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantize.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

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

QuantizeKernels kernels() { return {smallest, largest, subtract, subtract_each, lower, raise, quantize}; }

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
