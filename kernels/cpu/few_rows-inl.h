// SPDX-License-Identifier: Apache-2.0
// Products of few rows of x, bandwidth bound. A thread reads its rows of W one after the other as one sequential stream.
// Included once per instruction set, hence the guard that toggles.
#if defined(RWKV_CPU_FEW_ROWS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKV_CPU_FEW_ROWS_INL
#undef RWKV_CPU_FEW_ROWS_INL
#else
#define RWKV_CPU_FEW_ROWS_INL
#endif

#include "kernels/cpu/input_major_i4-inl.h"
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
    prefetch_stream(w + i, 4 * lanes);
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
    prefetch_stream(w + i, lanes);
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

// body(std::integral_constant<int, rows>), rows of 1 to kFewRows.
template <class Body>
HWY_INLINE void with_rows(std::int64_t rows, const Body& body) {
  switch (rows) {
    case 1:
      return body(std::integral_constant<int, 1>());
    case 2:
      return body(std::integral_constant<int, 2>());
    case 3:
      return body(std::integral_constant<int, 3>());
    case 4:
      return body(std::integral_constant<int, 4>());
    case 5:
      return body(std::integral_constant<int, 5>());
    case 6:
      return body(std::integral_constant<int, 6>());
    case 7:
      return body(std::integral_constant<int, 7>());
    case 8:
      return body(std::integral_constant<int, 8>());
  }
}

template <class Load>
void few_rows(const Product& p, std::int64_t first) {
  with_rows(p.rows(), [&](auto rows) HWY_ATTR { few_rows<Load, decltype(rows)::value>(p, first); });
}

// Columns [first, first + kFewColumns) of kX rows of an i8 or i4 matrix.
template <class Quads, int kX>
void digit_rows(const Product& p, std::int64_t row, std::int64_t first) {
  const Matrix& w = p.op->weight;
  const std::int64_t n = w.n_in, count = std::min(kFewColumns, w.n_out - first);
  const auto* const q = static_cast<const std::uint8_t*>(w.data);
  float y[kX][kFewColumns], column[kX];
  if (w.type == DType::i4) {
    rows_i4<Quads>(q + first * n / 2, w.scale + first * n / kI4Group, p.digits, row, count, y);
  } else {
    for (std::int64_t b = 0; b < count; ++b) {
      dots_i8<Quads, kX>(q + (first + b) * n, p.digits, row, column);
      for (int a = 0; a < kX; ++a) y[a][b] = column[a];
    }
  }
  for (int a = 0; a < kX; ++a) finish(*p.op, p.scaled, row + a, first, count, y[a]);
}

// The same for all rows: after the first kDigitRows the weights are in the cache.
template <class Quads>
void digit_rows(const Product& p, std::int64_t first) {
  for (std::int64_t row = 0; row < p.rows(); row += kDigitRows) {
    with_rows(std::min<std::int64_t>(kDigitRows, p.rows() - row),
              [&](auto rows) HWY_ATTR { digit_rows<Quads, decltype(rows)::value>(p, row, first); });
  }
}

inline void digit_rows(const Product& p, std::int64_t first) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if (has_vbmi() && p.op->weight.type == DType::i4) return digit_rows<AddQuadsVbmi>(p, first);
  if (has_vnni()) return digit_rows<AddQuadsVnni>(p, first);
#endif
  digit_rows<AddQuads>(p, first);
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

// Of rows [first, end) those whose x is not 0: after a squared ReLU that is few of them. Returns how many.
HWY_INLINE std::int64_t find_used(const float* x, std::int64_t first, std::int64_t end, std::int64_t* used) {
  std::int64_t n_used = 0;
  for (std::int64_t k = first; k < end; ++k) {
    used[n_used] = k;
    n_used += x[k] != 0.0f;
  }
  return n_used;
}

// One row of x and rows [first, end) of an input-major matrix V, added to sum [n_out]: sum += sum_k x[k] V[k]. Rows whose x is
// 0 are not read.
template <class Load>
void add_rows(const Matrix& w, const float* x, std::int64_t first, std::int64_t end, float* sum) {
  using Type = typename Load::Type;
  const std::int64_t n = w.n_out;
  const auto* const v = static_cast<const Type*>(w.data);
  std::int64_t used[kPart + 1];
  const std::int64_t n_used = find_used(x, first, end, used);
  std::int64_t i = 0;
  for (; i + 4 <= n_used; i += 4) {
    const Type* rows[8];
    for (std::int64_t j = 0; j < 8; ++j) rows[j] = v + used[std::min(i + j, n_used - 1)] * n;
    add_four<Load>(rows, {x[used[i]], x[used[i + 1]], x[used[i + 2]], x[used[i + 3]]}, n, sum);
  }
  for (; i < n_used; ++i) add_one<Load>(v + used[i] * n, x[used[i]], n, sum);
}

// The same for i4, a group of the input at a time, as its rows share the scales. The rows of the next group are asked for.
inline void add_rows_i4(const Matrix& w, const float* x, std::int64_t first, std::int64_t end, float* sum) {
  const F32 d;
  constexpr auto kVectors = static_cast<std::int64_t>(kI4Group / hn::MaxLanes(F32()));
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t n = w.n_out;
  const auto* const v = static_cast<const std::uint8_t*>(w.data);
  std::int64_t lists[2][kI4Group + 1], *now = lists[0], *next = lists[1];
  std::int64_t n_used = find_used(x, first, first + kI4Group, now), n_next = 0;
  for (std::int64_t k = first; k < end; k += kI4Group, std::swap(now, next), n_used = n_next) {
    n_next = k + kI4Group < end ? find_used(x, k + kI4Group, k + 2 * kI4Group, next) : 0;
    const std::uint16_t* const scale = w.scale + k / kI4Group * n;
    for (std::int64_t m = 0; n_used + n_next > 0 && m < n; m += kI4Group) {
      for (std::int64_t i = 0; m % 128 == 0 && i < n_next; ++i) prefetch(v + (next[i] * n + m) / 2, 64);
      if (n_used == 0) continue;
      V<F32> s[kVectors];
      for (auto& one : s) one = hn::Zero(d);
      for (std::int64_t i = 0; i < n_used; ++i) {
        const auto x_k = hn::Set(d, x[now[i]]);
        for_codes(v + (now[i] * n + m) / 2,
                  [&](std::int64_t at, auto code) HWY_ATTR { s[at / lanes] = hn::MulAdd(code, x_k, s[at / lanes]); });
      }
      for (std::int64_t i = 0; i < kVectors; ++i) {
        float* const to = sum + m + i * lanes;
        hn::StoreU(hn::MulAdd(LoadBf16::load(d, scale + m + i * lanes), s[i], hn::LoadU(d, to)), d, to);
      }
    }
  }
}

// One part of an input-major matrix: sums[part, r] = sum_k x[r, k] V[k] over its rows k.
inline void add_part(const Product& p, std::int64_t part) {
  const Matrix& w = p.op->weight;
  const std::int64_t first = part * kPart, end = std::min(first + kPart, w.n_in);
  for (std::int64_t r = 0; r < p.rows(); ++r) {
    const float* const x = p.x() + r * w.n_in;
    float* const sum = p.sums + (part * p.rows() + r) * w.n_out;
    std::fill_n(sum, w.n_out, 0.0f);
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
    if (p.digits.n > 0) {
      add_rows_i4(w, p.digits, r, first, end, sum);
      continue;
    }
#endif
    if (w.type == DType::i4) {
      add_rows_i4(w, x, first, end, sum);
    } else {
      with_load(w.type, [&](auto load) HWY_ATTR { add_rows<decltype(load)>(w, x, first, end, sum); });
    }
  }
}

// The sum of all parts of row r, in their order, and what follows it.
inline void finish_parts(const Product& p, std::int64_t r) {
  const std::int64_t n = p.op->weight.n_out;
  float* const sum = p.sums + r * n;
  for (std::int64_t part = 1; part < p.parts(); ++part) {
    const float* const from = sum + part * p.rows() * n;
    for_vectors(n, [&](auto d, std::int64_t i)
                       HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::LoadU(d, from + i)), d, sum + i); });
  }
  finish(*p.op, p.scaled, r, 0, n, sum);
}

}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
