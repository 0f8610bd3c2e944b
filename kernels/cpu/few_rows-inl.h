// SPDX-License-Identifier: Apache-2.0
// Products of few rows of x, bandwidth bound. A thread reads its rows of W one after the other as one sequential stream.
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_FEW_ROWS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_FEW_ROWS_INL
#undef RWKV_CPU_FEW_ROWS_INL
#else
#define RWKV_CPU_FEW_ROWS_INL
#endif

#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {

// Four chains hide the latency of the multiply-add. Named, not an array: an array of vectors may live in memory.
template <class Load>
HWY_INLINE float dot(const typename Load::Type* w, const float* x, std::int64_t n) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    prefetch(w + i + kBytesAhead / static_cast<std::int64_t>(sizeof(*w)), 4 * lanes);
    s0 = hn::MulAdd(Load::load(d, w + i), hn::LoadU(d, x + i), s0);
    s1 = hn::MulAdd(Load::load(d, w + i + lanes), hn::LoadU(d, x + i + lanes), s1);
    s2 = hn::MulAdd(Load::load(d, w + i + 2 * lanes), hn::LoadU(d, x + i + 2 * lanes), s2);
    s3 = hn::MulAdd(Load::load(d, w + i + 3 * lanes), hn::LoadU(d, x + i + 3 * lanes), s3);
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::MulAdd(Load::load(d, w + i), hn::LoadU(d, x + i), s0);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += Load::one(w[i]) * x[i];
  return sum;
}

// y[a] = w x[a] for kX rows of x, n apart: each vector of w is loaded once.
template <class Load, int kX>
HWY_INLINE void dots(const typename Load::Type* w, const float* x, std::int64_t n, float* y) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V<F32> sum[kX];
  HWY_UNROLL(kFewRows)
  for (int a = 0; a < kX; ++a) sum[a] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto weights = Load::load(d, w + i);
    prefetch(w + i + kBytesAhead / static_cast<std::int64_t>(sizeof(*w)), lanes);
    HWY_UNROLL(kFewRows)
    for (int a = 0; a < kX; ++a) sum[a] = hn::MulAdd(weights, hn::LoadU(d, x + a * n + i), sum[a]);
  }
  for (int a = 0; a < kX; ++a) {
    float s = hn::GetLane(hn::SumOfLanes(d, sum[a]));
    for (std::int64_t j = i; j < n; ++j) s += Load::one(w[j]) * x[a * n + j];
    y[a] = s;
  }
}

// Columns [first, first + kFewColumns) for at most kFewRows rows.
template <class Load, int kX>
void few_rows(const Product& p, std::int64_t first) {
  const std::int64_t n = p.op->weight.n_in, count = std::min(kFewColumns, p.op->weight.n_out - first);
  const auto* const w = static_cast<const typename Load::Type*>(p.op->weight.data) + first * n;
  float y[kX][kFewColumns], column[kX];
  for (std::int64_t b = 0; b < count; ++b) {
    if constexpr (kX == 1) {
      column[0] = dot<Load>(w + b * n, p.x(), n);
    } else {
      dots<Load, kX>(w + b * n, p.x(), n, column);
    }
    for (int a = 0; a < kX; ++a) y[a][b] = column[a];
  }
  for (int a = 0; a < kX; ++a) finish(*p.op, p.scaled, a, first, count, y[a]);
}

template <class Load>
void few_rows(const Product& p, std::int64_t first) {
  switch (p.rows()) {
    case 1:
      return few_rows<Load, 1>(p, first);
    case 2:
      return few_rows<Load, 2>(p, first);
    case 3:
      return few_rows<Load, 3>(p, first);
    case 4:
      return few_rows<Load, 4>(p, first);
    case 5:
      return few_rows<Load, 5>(p, first);
    case 6:
      return few_rows<Load, 6>(p, first);
    case 7:
      return few_rows<Load, 7>(p, first);
    case 8:
      return few_rows<Load, 8>(p, first);
  }
}

template <class Load>
HWY_INLINE void add_one(const typename Load::Type* v, float x, std::int64_t n, float* sum) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto x0 = hn::Set(d, x);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::MulAdd(x0, Load::load(d, v + i), hn::LoadU(d, sum + i)), d, sum + i);
  for (; i < n; ++i) sum[i] += x * Load::one(v[i]);
}

// Four rows at a time: the sums are read and written once for all. The next four are far away, so they are asked for.
template <class Load>
HWY_INLINE void add_four(const typename Load::Type* const (&v)[8], const float (&x)[4], std::int64_t n, float* sum) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto x0 = hn::Set(d, x[0]), x1 = hn::Set(d, x[1]), x2 = hn::Set(d, x[2]), x3 = hn::Set(d, x[3]);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int next = 4; next < 8; ++next) prefetch(v[next] + i, lanes);
    const auto s = hn::MulAdd(x1, Load::load(d, v[1] + i), hn::MulAdd(x0, Load::load(d, v[0] + i), hn::LoadU(d, sum + i)));
    const auto t = hn::MulAdd(x3, Load::load(d, v[3] + i), hn::Mul(x2, Load::load(d, v[2] + i)));
    hn::StoreU(hn::Add(s, t), d, sum + i);
  }
  for (; i < n; ++i) {
    for (int j = 0; j < 4; ++j) sum[i] += x[j] * Load::one(v[j][i]);
  }
}

// One part of an input-major matrix: sums[part, r] = sum_k x[r, k] V[k] over its rows k. Rows whose x is 0 are not read: after
// a squared ReLU that is most of them.
template <class Load>
void add_rows(const Product& p, std::int64_t part) {
  using Type = typename Load::Type;
  const std::int64_t n = p.op->weight.n_out, depth = p.op->weight.n_in, first = part * kPart,
                     end = std::min(first + kPart, depth);
  const auto* const v = static_cast<const Type*>(p.op->weight.data);
  for (std::int64_t r = 0; r < p.rows(); ++r) {
    const float* const x = p.x() + r * depth;
    float* const sum = p.sums + (part * p.rows() + r) * n;
    std::fill_n(sum, n, 0.0f);
    std::int64_t used[kPart + 1], n_used = 0;
    for (std::int64_t k = first; k < end; ++k) {
      used[n_used] = k;
      n_used += x[k] != 0.0f;
    }
    std::int64_t i = 0;
    for (; i + 4 <= n_used; i += 4) {
      const Type* rows[8];
      for (std::int64_t j = 0; j < 8; ++j) rows[j] = v + used[std::min(i + j, n_used - 1)] * n;
      add_four<Load>(rows, {x[used[i]], x[used[i + 1]], x[used[i + 2]], x[used[i + 3]]}, n, sum);
    }
    for (; i < n_used; ++i) add_one<Load>(v + used[i] * n, x[used[i]], n, sum);
  }
}

// The sum of all parts, in their order, and what follows it.
inline void finish_parts(const Product& p) {
  const std::int64_t n = p.op->weight.n_out, all = p.rows() * n;
  for (std::int64_t part = 1; part < p.parts(); ++part) {
    const float* const from = p.sums + part * all;
    for_vectors(all, [&](auto d, std::int64_t i)
                         HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, p.sums + i), hn::LoadU(d, from + i)), d, p.sums + i); });
  }
  for (std::int64_t r = 0; r < p.rows(); ++r) finish(*p.op, p.scaled, r, 0, n, p.sums + r * n);
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
