// SPDX-License-Identifier: Apache-2.0
// Weights of every type with the numbers they stand for (spec 2.9 for i8, i4.h for i4), and their products by double-precision
// loops.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/half.h"
#include "kernels/i4.h"
#include "kernels/kernels.h"
#include "kernels/values.h"

namespace rwkv::test {

inline constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16, DType::i8, DType::i4};
inline constexpr Activation kActivations[] = {Activation::none, Activation::tanh, Activation::sigmoid, Activation::silu,
                                              Activation::relu_squared};

// A matrix as a device stores it, and the numbers it stands for.
struct Weight {
  std::vector<float> f32, mx, rx, my, ry;
  std::vector<std::uint16_t> half, scale;
  std::vector<std::uint8_t> q;  // i4: two to a byte
  std::vector<double> value;    // [n_out, n_in]
  Matrix matrix;
};

enum Layout { kOutputMajor, kInputMajor };
inline constexpr Layout kLayouts[] = {kOutputMajor, kInputMajor};

template <class T>
std::vector<T> transposed(const std::vector<T>& values, std::int64_t n_row) {
  std::vector<T> out;
  const std::int64_t n_col = std::ssize(values) / n_row;
  for (std::int64_t i = 0; i < std::ssize(values); ++i) out.push_back(values[i % n_row * n_col + i / n_row]);
  return out;
}

inline std::int64_t whole_groups(std::int64_t n) { return (n + kI4Group - 1) / kI4Group * kI4Group; }

// As an i4 matrix has to be: n_in, of an input-major one n_out too, in whole groups.
inline std::int64_t valid_n_in(DType type, std::int64_t n_in) { return type == DType::i4 ? whole_groups(n_in) : n_in; }
inline std::int64_t valid_n_out(DType type, std::int64_t n_out, Layout layout) {
  return type == DType::i4 && layout == kInputMajor ? whole_groups(n_out) : n_out;
}

inline Weight stored_i4(std::int64_t n_out, std::int64_t n_in, std::uint32_t seed, Layout layout) {
  Weight w;
  std::vector<std::uint8_t> nibbles;
  for (const float s : floats(n_out * n_in / kI4Group, seed, 0.01f)) w.scale.push_back(f32_to_bf16(s));
  for (std::int64_t i = 0; i < n_out * n_in; ++i) {
    nibbles.push_back(static_cast<std::uint8_t>((i * 37 + i / 16 * 5 + seed) % 16));
    w.value.push_back(double(bf16_to_f32(w.scale[i / kI4Group])) * (kI4Code[nibbles.back()] - kI4Zero));
  }
  if (layout == kInputMajor) nibbles = transposed(nibbles, n_out), w.scale = transposed(w.scale, n_out);
  for (std::size_t i = 0; i < nibbles.size(); i += 32)
    for (std::size_t j = i; j < i + 16; ++j) w.q.push_back(static_cast<std::uint8_t>(nibbles[j] | nibbles[j + 16] << 4));
  w.matrix = {.type = DType::i4, .n_out = n_out, .n_in = n_in, .data = w.q.data(), .input_major = layout == kInputMajor};
  w.matrix.scale = w.scale.data();
  return w;
}

inline Weight stored(DType type, std::int64_t n_out, std::int64_t n_in, std::uint32_t seed, Layout layout = kOutputMajor) {
  if (type == DType::i4) return stored_i4(n_out, n_in, seed, layout);
  Weight w;
  w.f32 = floats(n_out * n_in, seed);
  w.matrix = {.type = type, .n_out = n_out, .n_in = n_in, .data = w.f32.data()};
  if (type == DType::i8) {
    w.mx = floats(n_out, seed + 1), w.rx = floats(n_out, seed + 2, 0.05f, 0.1f);
    w.my = floats(n_in, seed + 3), w.ry = floats(n_in, seed + 4, 0.05f, 0.1f);
    w.matrix.mx = w.mx.data(), w.matrix.rx = w.rx.data(), w.matrix.my = w.my.data(), w.matrix.ry = w.ry.data();
  }
  for (std::size_t i = 0; i < w.f32.size(); ++i) {
    const float x = w.f32[i];
    const auto h = type == DType::f16 ? f32_to_f16(x) : f32_to_bf16(x);
    const auto q = static_cast<std::uint8_t>(i * 37 + seed);
    if (type == DType::f32) w.value.push_back(x);
    if (type == DType::f16 || type == DType::bf16) {
      w.half.push_back(h);
      w.value.push_back(type == DType::f16 ? f16_to_f32(h) : bf16_to_f32(h));
    }
    if (type != DType::i8) continue;
    w.q.push_back(q);
    const std::size_t m = i / n_in, n = i % n_in;
    w.value.push_back((q + 0.5) * w.rx[m] * w.ry[n] + w.mx[m] + w.my[n]);
  }
  if (layout == kInputMajor) {
    w.matrix.input_major = true;
    w.f32 = transposed(w.f32, n_out), w.half = transposed(w.half, n_out), w.q = transposed(w.q, n_out);
    w.matrix.data = w.f32.data();
  }
  if (type == DType::i8) w.matrix.data = w.q.data();
  if (!w.half.empty()) w.matrix.data = w.half.data();
  return w;
}

inline double activated(Activation activation, double y) {
  switch (activation) {
    case Activation::none:
      return y;
    case Activation::tanh:
      return std::tanh(y);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-y));
    case Activation::silu:
      return y / (1 + std::exp(-y));
    case Activation::relu_squared:
      return y > 0 ? y * y : 0;
  }
  return y;
}

// How a device rounds x and W: see MatMul in kernels.h.
struct Rounding {
  std::int64_t most_exact = INT64_MAX;   // rows of x up to which bf16 and i4 are not rounded
  std::int64_t most_in_steps = 0;        // rows of x up to which that of i4 is
  bool rounds_x_for_f16 = false;         // to 11 bits, more than 32 rows
  std::int64_t most_stored = INT64_MAX;  // rows of x up to which W of i8 and i4 is multiplied as it is stored, beyond as f16

  [[nodiscard]] bool widens(const MatMul& op) const {
    return (op.weight.type == DType::i8 || op.weight.type == DType::i4) && op.x.n_row > most_stored;
  }
  [[nodiscard]] bool applies_to(const MatMul& op) const {
    return (op.weight.type == DType::bf16 || op.weight.type == DType::i4) && op.x.n_row > most_exact && !widens(op);
  }
  // x and W as they are multiplied.
  [[nodiscard]] float x(const MatMul& op, float x) const {
    const bool as_f16 = op.weight.type == DType::f16 || widens(op);
    if (rounds_x_for_f16 && as_f16 && op.x.n_row > 32) return f16_to_f32(f32_to_f16(x));
    if (!applies_to(op)) return x;
    const float rounded = bf16_to_f32(f32_to_bf16(x));
    return op.x.n_row > 32 ? rounded : rounded + bf16_to_f32(f32_to_bf16(x - rounded));
  }
  [[nodiscard]] double weight(const MatMul& op, double w) const {
    if (widens(op)) return as_f16(w);
    return applies_to(op) ? bf16_to_f32(f32_to_bf16(static_cast<float>(w))) : w;
  }
  // w of i8 is computed in float32: where that is less than `error` from the middle of two float16, either may come out.
  [[nodiscard]] double undecided(const MatMul& op, double w, double error) const {
    return widens(op) && op.weight.type == DType::i8 ? as_f16(w + error) - as_f16(w - error) : 0.0;
  }

 private:
  [[nodiscard]] static double as_f16(double w) {
    return f16_to_f32(f32_to_f16(std::clamp(static_cast<float>(w), -65504.0f, 65504.0f)));
  }
};

// Rounding of a sum of n terms: about sqrt(n) half ulps of the sum of their sizes, 16 more for what follows it; an i8 matrix
// multiplies in parts (q, the offsets), which may be larger than the whole, unless it is widened first. The activations have
// slopes of at most 1 + 2 |y|.
inline void expect_product(const Rounding& rounding, const MatMul& op, const Weight& w, const std::vector<float>& before = {}) {
  const std::int64_t n = w.matrix.n_in;
  for (std::int64_t at = 0; at < op.x.n_row * w.matrix.n_out; ++at) {
    const std::int64_t r = at / w.matrix.n_out, m = at % w.matrix.n_out;
    double y = op.bias ? op.bias[m] : 0.0, size = std::abs(y), largest_x = 0, weights = 0, undecided = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      largest_x = std::max<double>(largest_x, std::abs(op.x.data[r * n + i]));
      weights += std::abs(w.value[m * n + i]);
      const double x = rounding.x(op, op.x.data[r * n + i]), term = rounding.weight(op, w.value[m * n + i]) * x;
      y += term;
      const double parts =
          op.weight.type == DType::i8 ? 256 * std::abs(w.rx[m] * w.ry[i]) + std::abs(w.mx[m]) + std::abs(w.my[i]) : 0.0;
      size += op.weight.type == DType::i8 && !rounding.widens(op) ? std::abs(x) * parts : std::abs(term);
      undecided += std::abs(x) * rounding.undecided(op, w.value[m * n + i], 4 * kUlp * parts);
    }
    const double gate = op.gate ? op.gate[at] : 1.0, old = op.add ? before[at] : 0.0;
    const double expected = activated(op.activation, y) * gate + old;
    const double slope = op.activation == Activation::relu_squared ? 1 + 2 * std::abs(y) : 1.1;
    // Steps of 1 / 32512 of the largest number.
    const bool in_steps = op.weight.type == DType::i4 && op.x.n_row <= rounding.most_in_steps;
    const double steps = in_steps ? weights * largest_x / 32512 / 2 : 0;
    const double tolerance =
        (16 + std::sqrt(double(n))) * kUlp * (size * slope * std::abs(gate) + std::abs(old) + std::abs(expected)) +
        (steps + undecided) * slope * std::abs(gate);
    ASSERT_NEAR(op.out.data[at], expected, tolerance) << name_of(op.weight.type) << " " << op.x.n_row << " rows, row " << r
                                                      << ", [" << w.matrix.n_out << ", " << n << "], column " << m;
  }
}

}  // namespace rwkv::test
