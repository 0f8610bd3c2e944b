// SPDX-License-Identifier: Apache-2.0
// The three steps of RWKV-7 between its matrices (spec 2.4), and all in one: inputs, double-precision loops, and how near to
// them a device must be.
#pragma once
#include <algorithm>

#include "kernels/ragged.h"
#include "kernels/rwkv7.h"
#include "kernels/values.h"

namespace rwkv::test {

inline constexpr double kTolerance7 = 4e-6;  // some ten roundings of numbers up to 5

struct PrepareInputs {
  std::int64_t att, size, n_row = 4;
  std::vector<float> w, k, v, a, kk, v_first, v_mix, k_k, k_a;

  PrepareInputs(std::int64_t n_head, std::int64_t n) : att(n_head * n), size(n) {
    const std::int64_t all = n_row * att;
    w = floats(all, 1, 0.2f, 0.5f), k = floats(all, 2), v = floats(all, 3), a = floats(all, 4, 0.2f, 0.5f), kk = nans(all);
    v_first = floats(all, 5), v_mix = floats(all, 6, 0.2f, 0.5f), k_k = floats(att, 7), k_a = floats(att, 8);
  }
  Prepare7 op(bool first_layer) {
    return {.n_head = att / size,
            .w = rows(w, att),
            .k = rows(k, att),
            .v = rows(v, att),
            .a = rows(a, att),
            .kk = rows(kk, att),
            .v_first = first_layer ? nullptr : v_first.data(),
            .v_mix = first_layer ? nullptr : v_mix.data(),
            .k_k = k_k.data(),
            .k_a = k_a.data()};
  }
};

inline void expect_prepared(const PrepareInputs& in, const PrepareInputs& start, bool first_layer) {
  for (std::int64_t at = 0; at < in.n_row * in.att; ++at) {
    const std::int64_t c = at % in.att, head = at - c % in.size;
    double norm = 0;
    for (std::int64_t i = head; i < head + in.size; ++i) norm += std::pow(double(start.k[i]) * start.k_k[i % in.att], 2);
    const double kk = double(start.k[at]) * start.k_k[c] / std::max(std::sqrt(norm), 1e-12), a = start.a[at];
    const double v = first_layer ? start.v[at] : start.v[at] + (double(start.v_first[at]) - start.v[at]) * start.v_mix[at];
    ASSERT_NEAR(in.w[at], std::exp(-0.606531 * start.w[at]), kTolerance7) << at;
    ASSERT_NEAR(in.v[at], v, kTolerance7) << at;
    ASSERT_NEAR(in.kk[at], kk, kTolerance7) << at;
    ASSERT_NEAR(in.a[at], kk * a, kTolerance7) << at;
    ASSERT_NEAR(in.k[at], start.k[at] * (1 + (a - 1) * start.k_a[c]), kTolerance7) << at;
  }
}

struct WkvInputs {
  std::int64_t att, size;
  Ragged ragged;
  std::vector<float> r, w, k, v, kk, b, out;
  Wkv7 op;

  WkvInputs(std::int64_t n_head, std::int64_t n, std::initializer_list<int> lengths = {3, 1, 5})
      : att(n_head * n), size(n), ragged(lengths) {
    const std::int64_t all = ragged.n_row() * att;
    const float unit = 1.0f / std::sqrt(static_cast<float>(n));  // kk has length 1
    r = floats(all, 1, unit), k = floats(all, 3, 0.5f), v = floats(all, 4), kk = floats(all, 5, unit), out = nans(all);
    b = floats(all, 6, 0.5f * unit);
    for (const float d : floats(all, 2)) w.push_back(std::exp(-0.606531f / (1.0f + std::exp(-d))));
    float* const* s = ragged.slot(att * n, 7);
    op = {n_head, rows(r, att), rows(w, att), rows(k, att), rows(v, att), rows(kk, att), rows(b, att), s, rows(out, att)};
  }
};

struct PlainWkv {
  std::vector<double> out;             // [rows, A]
  std::vector<std::vector<double>> s;  // of each sequence, [H, value, key]

  PlainWkv(const WkvInputs& in, const std::vector<std::vector<float>>& start) : out(in.out.size()) {
    for (std::int64_t seq = 0; seq < in.ragged.n_seq(); ++seq) {
      s.push_back(doubles(start[seq]));
      for (std::int64_t row = in.ragged.offsets[seq]; row < in.ragged.offsets[seq + 1]; ++row) {
        for (std::int64_t c = 0; c < in.att; ++c) out[row * in.att + c] = advance(in, &s.back()[c * in.size], row, c);
      }
    }
  }

 private:
  static double advance(const WkvInputs& in, double* s, std::int64_t row, std::int64_t c) {
    const std::int64_t keys = row * in.att + c - c % in.size;
    double removed = 0, y = 0;
    for (std::int64_t j = 0; j < in.size; ++j) removed += s[j] * in.kk[keys + j];
    for (std::int64_t j = 0; j < in.size; ++j) {
      s[j] = s[j] * in.w[keys + j] - removed * in.b[keys + j] + double(in.v[row * in.att + c]) * in.k[keys + j];
      y += s[j] * in.r[keys + j];
    }
    return y;
  }
};

inline void expect_wkv7(const WkvInputs& in, const std::vector<std::vector<float>>& start, double tolerance = 2 * kTolerance7) {
  const PlainWkv expected(in, start);
  ASSERT_NO_FATAL_FAILURE(expect_near(in.out, expected.out, tolerance, 0));
  for (std::int64_t seq = 0; seq < in.ragged.n_seq(); ++seq) {
    ASSERT_NO_FATAL_FAILURE(expect_near(in.ragged.arrays[0][seq], expected.s[seq], tolerance, 0)) << "sequence " << seq;
  }
}

// As trained models do: kk of length 1 and b = a kk with a between 0 and 1, so that the state cannot grow but by what is added.
inline void make_contracting(WkvInputs& in) {
  const auto rate = floats(static_cast<std::int64_t>(in.b.size()), 8);
  for (std::size_t head = 0; head < in.kk.size(); head += in.size) {
    double norm = 0;
    for (std::size_t i = head; i < head + in.size; ++i) norm += double(in.kk[i]) * in.kk[i];
    for (std::size_t i = head; i < head + in.size; ++i) {
      in.kk[i] /= static_cast<float>(std::sqrt(norm));
      in.b[i] = in.kk[i] / (1.0f + std::exp(-rate[i]));
    }
  }
}

struct OutputInputs {
  std::int64_t att, size;
  std::vector<float> y, r, k, v, g, r_k, weight, bias, out;

  OutputInputs(std::int64_t n_head, std::int64_t n) : att(n_head * n), size(n) {
    y = floats(3 * att, 1, 0.4f), r = floats(3 * att, 2, 0.4f), k = floats(3 * att, 3, 0.4f), v = floats(3 * att, 4);
    g = floats(3 * att, 5), r_k = floats(att, 6, 0.4f), weight = floats(att, 7), bias = floats(att, 8), out = nans(3 * att);
  }
  [[nodiscard]] Output7 op(const std::vector<float>& to) const {
    return {att / size, rows(y, att),  rows(r, att), rows(k, att), rows(v, att), rows(g, att),
            r_k.data(), weight.data(), bias.data(),  64e-5f,       rows(to, att)};
  }
  [[nodiscard]] std::vector<double> expected() const {
    std::vector<double> all;
    for (std::int64_t at = 0; at < 3 * att; ++at) {
      const std::int64_t c = at % att, head = at - c % size;
      double mean = 0, variance = 0, bonus = 0;
      for (std::int64_t i = head; i < head + size; ++i) mean += y[i] / double(size);
      for (std::int64_t i = head; i < head + size; ++i) variance += (y[i] - mean) * (y[i] - mean) / double(size);
      for (std::int64_t i = head; i < head + size; ++i) bonus += double(r[i]) * k[i] * r_k[i % att];
      const double normed = (y[at] - mean) / std::sqrt(variance + double(64e-5f)) * weight[c] + bias[c];
      all.push_back((normed + bonus * v[at]) * g[at]);
    }
    return all;
  }
};

// All of the above as one step over a ragged batch.
struct DeltaRuleInputs {
  std::int64_t att, size;
  Ragged ragged;
  bool first_layer;
  std::vector<float> r, w, k, v, a, g, kk, v_first, v_mix, k_k, k_a, r_k, weight, bias, out;

  DeltaRuleInputs(std::int64_t n_head, std::int64_t n, std::initializer_list<int> lengths, bool layer0 = false)
      : att(n_head * n), size(n), ragged(lengths), first_layer(layer0) {
    const std::int64_t all = ragged.n_row() * att;
    const float unit = 1.0f / std::sqrt(static_cast<float>(n));
    r = floats(all, 1, unit), k = floats(all, 2, 0.5f), v = floats(all, 3), g = floats(all, 5), kk = nans(all);
    w = floats(all, 4), a = floats(all, 6), v_mix = floats(all, 8);
    for (auto* const share : {&w, &a, &v_mix}) {
      for (float& x : *share) x = 1.0f / (1.0f + std::exp(-x));
    }
    v_first = floats(all, 7), k_k = floats(att, 9), k_a = floats(att, 10, 0.2f, 0.8f), r_k = floats(att, 11, 0.4f);
    weight = floats(att, 12, 0.3f, 1.0f), bias = floats(att, 13), out = nans(all);
    ragged.slot(att * n, 14);
  }
  // Of arrays on the host.
  [[nodiscard]] DeltaRule op() {
    return {.n_head = att / size,
            .r = rows(r, att),
            .w = rows(w, att),
            .k = rows(k, att),
            .v = rows(v, att),
            .a = rows(a, att),
            .g = rows(g, att),
            .kk = rows(kk, att),
            .v_first = first_layer ? nullptr : v_first.data(),
            .v_mix = first_layer ? nullptr : v_mix.data(),
            .k_k = k_k.data(),
            .k_a = k_a.data(),
            .r_k = r_k.data(),
            .weight = weight.data(),
            .bias = bias.data(),
            .eps = 64e-5f,
            .s = ragged.pointers[0].data(),
            .out = rows(out, att)};
  }
};

// One token of a head of n values whose first number in the rows is `at`; s: [value, key]. y and what out may be off by,
// relative to an error of y.
inline void expect_token7(const DeltaRuleInputs& in, const DeltaRuleInputs& start, std::int64_t at, double* s,
                          double tolerance) {
  const std::int64_t n = in.size, c = at % in.att;
  std::vector<double> kk(n), k(n), v(n), y(n);
  double norm = 0, mean = 0, variance = 0, bonus = 0;
  for (std::int64_t j = 0; j < n; ++j) norm += std::pow(double(start.k[at + j]) * start.k_k[c + j], 2);
  for (std::int64_t j = 0; j < n; ++j) {
    const double a = start.a[at + j];
    kk[j] = double(start.k[at + j]) * start.k_k[c + j] / std::max(std::sqrt(norm), 1e-12);
    k[j] = start.k[at + j] * (1 + (a - 1) * start.k_a[c + j]);
    v[j] = start.v[at + j];
    if (!start.first_layer) v[j] += (double(start.v_first[at + j]) - start.v[at + j]) * start.v_mix[at + j];
    bonus += start.r[at + j] * k[j] * start.r_k[c + j];
  }
  for (std::int64_t i = 0; i < n; ++i) {
    double* const row = s + i * n;
    double removed = 0;
    for (std::int64_t j = 0; j < n; ++j) removed += row[j] * kk[j];
    for (std::int64_t j = 0; j < n; ++j) {
      row[j] = row[j] * std::exp(-0.606531 * start.w[at + j]) - removed * kk[j] * start.a[at + j] + v[i] * k[j];
      y[i] += row[j] * start.r[at + j];
    }
    mean += y[i] / double(n);
  }
  for (std::int64_t i = 0; i < n; ++i) variance += (y[i] - mean) * (y[i] - mean) / double(n);
  const double deviation = std::sqrt(variance + double(64e-5f));
  for (std::int64_t i = 0; i < n; ++i) {
    const double normed = (y[i] - mean) / deviation * start.weight[c + i] + start.bias[c + i];
    const double g = start.g[at + i], lost = tolerance * (1 + std::abs(g)) * (2 + 2 / deviation);
    ASSERT_NEAR(in.out[at + i], (normed + bonus * v[i]) * g, lost) << "row " << at / in.att << " channel " << c + i;
  }
}

// tolerance: of y and of the state; the norm divides what y is off by by its deviation.
inline void expect_delta_rule(const DeltaRuleInputs& in, const DeltaRuleInputs& start, double tolerance = 2 * kTolerance7) {
  for (std::int64_t seq = 0; seq < in.ragged.n_seq(); ++seq) {
    auto s = doubles(start.ragged.arrays[0][seq]);
    for (std::int64_t row = in.ragged.offsets[seq]; row < in.ragged.offsets[seq + 1]; ++row) {
      for (std::int64_t c = 0; c < in.att; c += in.size) {
        ASSERT_NO_FATAL_FAILURE(expect_token7(in, start, row * in.att + c, &s[c * in.size], tolerance));
      }
    }
    ASSERT_NO_FATAL_FAILURE(expect_near(in.ragged.arrays[0][seq], s, tolerance, 0)) << "sequence " << seq;
  }
}

}  // namespace rwkv::test
