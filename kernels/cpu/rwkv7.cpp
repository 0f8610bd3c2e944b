// SPDX-License-Identifier: Apache-2.0
// The steps of RWKV-7 between its matrices (formulas and shapes: kernels/rwkv7.h). WKV: a task takes one head of one sequence;
// its state (16 KiB for N = 64) stays in the first-level cache for all tokens. Traffic: 2 N^2 floats per head and call, 7 N per
// token; 4 N^2 multiply-adds per token, 80 % of the AVX-512 peak in the loop over keys, 64 % with all around it (256 tokens).
// Prepare and output take some rows per task, or of few tokens a head with WKV, and are bound by traffic, 11 and 6 floats per
// value: 37 and 26 GB/s per core for 256 rows of 1,024 on a 2.6 GHz Xeon.
#include "kernels/rwkv7.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <utility>

#include "kernels/cpu/device.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rwkv7.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rwkv::cpu::HWY_NAMESPACE {
namespace {

// Vectors of values side by side, as many as the registers hold: they share each load of a key's numbers.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kWide = 4;
#else
constexpr int kWide = 2;
#endif

// One head, whose first channel is c of A and `at` of the rows.
HWY_INLINE void prepare_head(const Prepare7& op, std::int64_t at, std::int64_t c, std::int64_t n) {
  float *const w = op.w.data + at, *const k = op.k.data + at, *const v = op.v.data + at;
  float *const a = op.a.data + at, *const kk = op.kk.data + at;
  const float *const k_k = op.k_k + c, *const k_a = op.k_a + c;
  const float *const v_first = op.v_first ? op.v_first + at : nullptr, *const v_mix = op.v_mix ? op.v_mix + at : nullptr;
  const float norm = std::sqrt(sum_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto x = hn::Mul(hn::LoadU(d, k + i), hn::LoadU(d, k_k + i));
    return hn::Mul(x, x);
  }));
  const float scale = 1.0f / (norm < 1e-12f ? 1e-12f : norm);
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto one = hn::Set(d, 1.0f), rate = hn::LoadU(d, a + i), key = hn::LoadU(d, k + i);
    const auto removal = hn::Mul(hn::Mul(key, hn::LoadU(d, k_k + i)), hn::Set(d, scale));
    hn::StoreU(exp(d, hn::Mul(hn::Set(d, -0.606531f), hn::LoadU(d, w + i))), d, w + i);
    hn::StoreU(removal, d, kk + i);
    hn::StoreU(hn::Mul(removal, rate), d, a + i);
    hn::StoreU(hn::Mul(key, hn::MulAdd(hn::Sub(rate, one), hn::LoadU(d, k_a + i), one)), d, k + i);
    if (v_first) {
      const auto own = hn::LoadU(d, v + i);
      hn::StoreU(hn::MulAdd(hn::Sub(hn::LoadU(d, v_first + i), own), hn::LoadU(d, v_mix + i), own), d, v + i);
    }
  });
}

void prepare(Device& device, const Prepare7& op) {
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  for_rows(device, op.k.n_row, att, [&](std::int64_t row) {
    for (std::int64_t c = 0; c < att; c += size) prepare_head(op, row * att + c, c, size);
  });
}

struct Token7 {
  const float *r, *w, *k, *v, *kk, *b;  // [N] of one head
  float* out;
};

// One token for kRows rows of the state as it is stored, from value i: they share the loads of the keys' numbers.
template <int kRows>
HWY_INLINE void step_rows(const Token7& t, std::int64_t n, std::int64_t i, float* s) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t whole = n - n % lanes;
  V<F32> sum[kRows], v[kRows];
  float rest[kRows] = {};
  HWY_UNROLL(4)
  for (int x = 0; x < kRows; ++x) sum[x] = hn::Zero(d), v[x] = hn::Set(d, t.v[i + x]);
  for (std::int64_t j = 0; j < whole; j += lanes) {
    const auto kk = hn::LoadU(d, t.kk + j);
    HWY_UNROLL(4)
    for (int x = 0; x < kRows; ++x) sum[x] = hn::MulAdd(hn::LoadU(d, s + x * n + j), kk, sum[x]);
  }
  V<F32> removed[kRows];
  HWY_UNROLL(4)
  for (int x = 0; x < kRows; ++x) {
    for (std::int64_t j = whole; j < n; ++j) rest[x] += s[x * n + j] * t.kk[j];
    removed[x] = hn::Add(hn::SumOfLanes(d, sum[x]), hn::Set(d, rest[x]));
    sum[x] = hn::Zero(d);
  }
  for (std::int64_t j = 0; j < whole; j += lanes) {
    const auto w = hn::LoadU(d, t.w + j), b = hn::LoadU(d, t.b + j), k = hn::LoadU(d, t.k + j), r = hn::LoadU(d, t.r + j);
    HWY_UNROLL(4)
    for (int x = 0; x < kRows; ++x) {
      const auto kept = hn::NegMulAdd(removed[x], b, hn::Mul(hn::LoadU(d, s + x * n + j), w));
      const auto now = hn::MulAdd(v[x], k, kept);
      hn::StoreU(now, d, s + x * n + j);
      sum[x] = hn::MulAdd(now, r, sum[x]);
    }
  }
  for (int x = 0; x < kRows; ++x) {
    float out = hn::GetLane(hn::SumOfLanes(d, sum[x]));
    for (std::int64_t j = whole; j < n; ++j) {
      float& s_ij = s[x * n + j];
      s_ij = s_ij * t.w[j] - hn::GetLane(removed[x]) * t.b[j] + t.v[i + x] * t.k[j];
      out += s_ij * t.r[j];
    }
    t.out[i + x] = out;
  }
}

HWY_INLINE void step(const Token7& t, std::int64_t n, float* s) {
  std::int64_t i = 0;
  for (; i + kWide <= n; i += kWide) step_rows<kWide>(t, n, i, s + i * n);
  for (; i < n; ++i) step_rows<1>(t, n, i, s + i * n);
}

// Many tokens: the state is transposed, so that a vector holds values and the sums over keys stay in their lanes; and within a
// chunk it is divided by the decay so far, W_t = w_1 .. w_t, which leaves two products with it and two updates of it:
//   T_t = T_(t-1) - s_t (b_t / W_t) + v_t (k_t / W_t)      out_t = T_t (W_t r_t)      s_(t+1) = T_t (W_t kk_(t+1))
// 1 / W_t <= 0.5452^-16 = 1.7e4, as every w is above exp(-exp(-0.5)).
constexpr std::int64_t kChunk = 16;
constexpr std::int64_t kMostKeys = 128;  // larger heads go token by token
constexpr std::int64_t kFewTokens = 4;   // so few do not pay for transposing

struct Chunk7 {
  std::int64_t n_token;
  alignas(64) float scaled[kChunk * 4 * kMostKeys];  // [n_token, N, 4]: b / W, k / W, W r, W kk of the token after
  alignas(64) float decay[kMostKeys];                // W of the last token
  alignas(64) float removed[kMostKeys];              // s of the first token; afterwards of the next chunk's
};

#if HWY_TARGET != HWY_SCALAR
// a, b: two 4 x 4 parts of a matrix with n columns; each becomes the other's transpose. They may be one.
HWY_INLINE void swap_transposed(float* a, float* b, std::int64_t n) {
  const hn::FixedTag<float, 4> d;
  const auto transposed = [d](V<decltype(d)>(&x)[4]) HWY_ATTR {
    const auto even = hn::InterleaveLower(d, x[0], x[1]), even_high = hn::InterleaveUpper(d, x[0], x[1]);
    const auto odd = hn::InterleaveLower(d, x[2], x[3]), odd_high = hn::InterleaveUpper(d, x[2], x[3]);
    x[0] = hn::ConcatLowerLower(d, odd, even), x[1] = hn::ConcatUpperUpper(d, odd, even);
    x[2] = hn::ConcatLowerLower(d, odd_high, even_high), x[3] = hn::ConcatUpperUpper(d, odd_high, even_high);
  };
  V<decltype(d)> from_a[4] = {hn::LoadU(d, a), hn::LoadU(d, a + n), hn::LoadU(d, a + 2 * n), hn::LoadU(d, a + 3 * n)};
  V<decltype(d)> from_b[4] = {hn::LoadU(d, b), hn::LoadU(d, b + n), hn::LoadU(d, b + 2 * n), hn::LoadU(d, b + 3 * n)};
  transposed(from_a), transposed(from_b);
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) hn::StoreU(from_a[i], d, b + i * n), hn::StoreU(from_b[i], d, a + i * n);
}
#endif

// In place; n x n.
HWY_INLINE void transpose(float* s, std::int64_t n) {
#if HWY_TARGET != HWY_SCALAR
  if (n % 4 == 0) {
    for (std::int64_t i = 0; i < n; i += 4) {
      for (std::int64_t j = 0; j <= i; j += 4) swap_transposed(s + i * n + j, s + j * n + i, n);
    }
    return;
  }
#endif
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) std::swap(s[i * n + j], s[j * n + i]);
  }
}

// A row that comes soon: rows are too far apart for the processor to see a pattern.
constexpr std::int64_t kLine = 16;

struct Ahead7 {
  const float* arrays[7];  // of one head
  bool wanted;

  Ahead7(const Wkv7& op, std::int64_t at, bool first_values)
      : arrays{op.r.data + at,  op.w.data + at, op.k.data + at,  op.v.data + at,
               op.kk.data + at, op.b.data + at, op.out.data + at},
        wanted(first_values && at < op.k.n_row * op.k.n_col) {}

  HWY_INLINE void fetch(std::int64_t i) const {
    if (!wanted) return;
    for (const float* x : arrays) hwy::Prefetch(x + i);
  }
};

// Rows [row, row + n_token) of the head at column c. more: there is a row after them.
HWY_INLINE void scale_chunk(const Wkv7& op, std::int64_t row, std::int64_t c, bool more, Chunk7& chunk) {
  const std::int64_t att = op.k.n_col, n = att / op.n_head, first = row * att + c;
  for_vectors(n, [&](auto d, std::int64_t j) HWY_ATTR {
    auto decay = hn::Set(d, 1.0f);
    float* scaled = chunk.scaled + 4 * j;
    for (std::int64_t t = 0; t < chunk.n_token; ++t, scaled += 4 * n) {
      const std::int64_t at = first + t * att + j;
      decay = hn::Mul(decay, hn::LoadU(d, op.w.data + at));
      const auto inverse = hn::Div(hn::Set(d, 1.0f), decay);
      const bool last = t + 1 == chunk.n_token && !more;
      const auto kk = last ? hn::Zero(d) : hn::LoadU(d, op.kk.data + at + att);
      hn::StoreInterleaved4(hn::Mul(hn::LoadU(d, op.b.data + at), inverse), hn::Mul(hn::LoadU(d, op.k.data + at), inverse),
                            hn::Mul(hn::LoadU(d, op.r.data + at), decay), hn::Mul(kk, decay), d, scaled);
    }
    hn::StoreU(decay, d, chunk.decay + j);
  });
}

// One token for kVectors vectors of values, the first at t. kLast: multiplies the state by decay.
template <bool kLast, int kVectors, class D>
HWY_INLINE void advance(D d, const float* scaled, const float* decay, std::int64_t n, const V<D> (&v)[kVectors], float* t,
                        V<D> (&removed)[kVectors], V<D> (&y)[kVectors], const Ahead7& ahead) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V<D> next[kVectors];
  HWY_UNROLL(4)
  for (int x = 0; x < kVectors; ++x) next[x] = y[x] = hn::Zero(d);
  for (std::int64_t j = 0; j < n; ++j, t += n, scaled += 4) {
    if (j % kLine == 0) ahead.fetch(j);
    const auto b = hn::Set(d, scaled[0]), k = hn::Set(d, scaled[1]), r = hn::Set(d, scaled[2]), kk = hn::Set(d, scaled[3]);
    HWY_UNROLL(4)
    for (int x = 0; x < kVectors; ++x) {
      const auto now = hn::MulAdd(v[x], k, hn::NegMulAdd(removed[x], b, hn::LoadU(d, t + x * lanes)));
      y[x] = hn::MulAdd(now, r, y[x]);
      next[x] = hn::MulAdd(now, kk, next[x]);
      hn::StoreU(kLast ? hn::Mul(now, hn::Set(d, decay[j])) : now, d, t + x * lanes);
    }
  }
  HWY_UNROLL(4)
  for (int x = 0; x < kVectors; ++x) removed[x] = next[x];
}

// All tokens of a chunk for the values [i, i + kVectors vectors). at: of the first token's value 0; t: the transposed state.
template <int kVectors, class D>
HWY_INLINE void chunk_values(D d, const Wkv7& op, std::int64_t at, Chunk7& chunk, std::int64_t i, float* t) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t att = op.k.n_col, n = att / op.n_head;
  V<D> removed[kVectors], v[kVectors], y[kVectors];
  HWY_UNROLL(4)
  for (int x = 0; x < kVectors; ++x) removed[x] = hn::LoadU(d, chunk.removed + i + x * lanes);
  for (std::int64_t token = 0; token < chunk.n_token; ++token, at += att) {
    const Ahead7 ahead(op, at + kChunk * att, i == 0);
    HWY_UNROLL(4)
    for (int x = 0; x < kVectors; ++x) v[x] = hn::LoadU(d, op.v.data + at + i + x * lanes);
    const float* const scaled = chunk.scaled + token * 4 * n;
    if (token + 1 < chunk.n_token) {
      advance<false, kVectors>(d, scaled, chunk.decay, n, v, t + i, removed, y, ahead);
    } else {
      advance<true, kVectors>(d, scaled, chunk.decay, n, v, t + i, removed, y, ahead);
    }
    HWY_UNROLL(4)
    for (int x = 0; x < kVectors; ++x) hn::StoreU(y[x], d, op.out.data + at + i + x * lanes);
  }
  HWY_UNROLL(4)
  for (int x = 0; x < kVectors; ++x) hn::StoreU(removed[x], d, chunk.removed + i + x * lanes);
}

// Rows [row, end) of the head at column c.
void many_steps(const Wkv7& op, std::int64_t row, std::int64_t end, std::int64_t c, float* s) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t att = op.k.n_col, n = att / op.n_head;
  Chunk7 chunk;
  transpose(s, n);
  const float* const kk = op.kk.data + row * att + c;
  for_vectors(n, [&](auto e, std::int64_t i) HWY_ATTR {
    auto removed = hn::Zero(e);
    for (std::int64_t j = 0; j < n; ++j) removed = hn::MulAdd(hn::Set(e, kk[j]), hn::LoadU(e, s + j * n + i), removed);
    hn::StoreU(removed, e, chunk.removed + i);
  });
  for (; row < end; row += chunk.n_token) {
    chunk.n_token = std::min(kChunk, end - row);
    scale_chunk(op, row, c, row + chunk.n_token < end, chunk);
    const std::int64_t at = row * att + c;
    std::int64_t i = 0;
    for (; i + kWide * lanes <= n; i += kWide * lanes) chunk_values<kWide>(d, op, at, chunk, i, s);
    for (; i + lanes <= n; i += lanes) chunk_values<1>(d, op, at, chunk, i, s);
    for (; i < n; ++i) chunk_values<1>(One(), op, at, chunk, i, s);
  }
  transpose(s, n);
}

Token7 token_at(const Wkv7& op, std::int64_t at) {
  return {op.r.data + at, op.w.data + at, op.k.data + at, op.v.data + at, op.kk.data + at, op.b.data + at, op.out.data + at};
}

void wkv(Device& device, const Batch& batch, const Wkv7& op) {
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(batch.n_seq * op.n_head, [&](std::int64_t task) {
    const std::int64_t seq = task / op.n_head, c = task % op.n_head * size;
    const std::int64_t first = batch.offsets[seq], end = batch.offsets[seq + 1];
    float* const s = op.s.floats(seq) + c * size;
    if (end - first >= kFewTokens && size <= kMostKeys) return many_steps(op, first, end, c, s);
    for (std::int64_t row = first; row < end; ++row) {
      const std::int64_t at = row * att + c;
      step(token_at(op, at), size, s);
    }
  });
}

HWY_INLINE void output_head(const Output7& op, std::int64_t at, std::int64_t c, std::int64_t n) {
  const float *const y = op.y.data + at, *const r = op.r.data + at, *const k = op.k.data + at, *const v = op.v.data + at;
  const float *const g = op.g.data + at, *const r_k = op.r_k + c, *const weight = op.weight + c, *const bias = op.bias + c;
  float* const out = op.out.data + at;
  const Moments m = moments(y, n, op.eps);
  const float bonus = sum_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    return hn::Mul(hn::Mul(hn::LoadU(d, r + i), hn::LoadU(d, k + i)), hn::LoadU(d, r_k + i));
  });
  for_vectors(n, [=](auto d, std::int64_t i) HWY_ATTR {
    const auto unit = hn::Mul(hn::Sub(hn::LoadU(d, y + i), hn::Set(d, m.mean)), hn::Set(d, m.scale));
    const auto normed = hn::MulAdd(unit, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i));
    const auto sum = hn::MulAdd(hn::Set(d, bonus), hn::LoadU(d, v + i), normed);
    hn::StoreU(hn::Mul(sum, hn::LoadU(d, g + i)), d, out + i);
  });
}

void output(Device& device, const Output7& op) {
  const std::int64_t att = op.y.n_col, size = att / op.n_head;
  for_rows(device, op.y.n_row, att, [&](std::int64_t row) {
    for (std::int64_t c = 0; c < att; c += size) output_head(op, row * att + c, c, size);
  });
}

// A task takes all steps of a head of a sequence.
void few_tokens(Device& device, const Batch& batch, const DeltaRule& op) {
  const Prepare7 before = op.prepare();
  const Wkv7 recurrence = op.wkv();
  const Output7 after = op.output();
  const std::int64_t att = op.k.n_col, size = att / op.n_head;
  pool_of(device).parallel_for(batch.n_seq * op.n_head, [&](std::int64_t task) {
    const std::int64_t seq = task / op.n_head, c = task % op.n_head * size;
    for (std::int64_t row = batch.offsets[seq]; row < batch.offsets[seq + 1]; ++row) {
      prepare_head(before, row * att + c, c, size);
      step(token_at(recurrence, row * att + c), size, op.s.floats(seq) + c * size);
      output_head(after, row * att + c, c, size);
    }
  });
}

void delta_rule(Device& device, const Batch& batch, const DeltaRule& op) {
  std::int64_t longest = 0;
  for (std::int64_t seq = 0; seq < batch.n_seq; ++seq) {
    longest = std::max<std::int64_t>(longest, batch.offsets[seq + 1] - batch.offsets[seq]);
  }
  if (longest < kFewTokens) return few_tokens(device, batch, op);
  prepare(device, op.prepare());
  wkv(device, batch, op.wkv());
  output(device, op.output());
}

const Rwkv7Kernels* kernels() {
  static const Rwkv7Kernels table{delta_rule};
  return &table;
}

}  // namespace
}  // namespace rwkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rwkv::cpu {
HWY_EXPORT(kernels);
const Rwkv7Kernels* rwkv7_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }
}  // namespace rwkv::cpu
#endif
