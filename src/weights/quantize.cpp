// SPDX-License-Identifier: Apache-2.0
// The order of the float32 operations is the package's: the results are equal bit by bit.
#include "weights/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rwkv {
namespace {

constexpr std::int64_t kRowFloats = std::int64_t{1} << 20;  // per read

// Calls visit(m, row) for every output m.
template <class Visit>
void each_row(std::int64_t n_out, std::int64_t n_in, const ReadRows& read, const Visit& visit) {
  const std::int64_t at_once = std::clamp<std::int64_t>(kRowFloats / n_in, 1, n_out);
  std::vector<float> rows(at_once * n_in);
  for (std::int64_t first = 0; first < n_out; first += at_once) {
    const std::int64_t count = std::min(at_once, n_out - first);
    read(first, std::span(rows).first(count * n_in));
    for (std::int64_t m = first; m < first + count; ++m) visit(m, std::span(rows).subspan((m - first) * n_in, n_in));
  }
}

float zero_as_one(float x) { return x == 0.0f ? 1.0f : x; }

// Subtracts both minima in the order they were found in. A square matrix counts as wide.
struct Minima {
  bool tall;  // n_in > n_out: my first
  QuantizedVectors& v;

  void subtract(std::int64_t m, std::span<float> row) const {
    for (std::size_t n = 0; n < row.size(); ++n) {
      row[n] = tall ? (row[n] - v.my[n]) - v.mx[m] : (row[n] - v.mx[m]) - v.my[n];
    }
  }

  void find(std::int64_t n_out, std::int64_t n_in, const ReadRows& read) const {
    each_row(n_out, n_in, read, [&](std::int64_t m, std::span<float> row) {
      if (!tall) v.mx[m] = *std::min_element(row.begin(), row.end());
      for (std::size_t n = 0; n < row.size(); ++n) v.my[n] = std::min(v.my[n], tall ? row[n] : row[n] - v.mx[m]);
    });
  }

  // mx of a tall matrix needs all of my, so it is found when the rows are read again.
  void complete(std::int64_t m, std::span<const float> row) const {
    if (!tall) return;
    float smallest = std::numeric_limits<float>::infinity();
    for (std::size_t n = 0; n < row.size(); ++n) smallest = std::min(smallest, row[n] - v.my[n]);
    v.mx[m] = smallest;
  }
};

}  // namespace

QuantizedVectors quantize(std::int64_t n_out, std::int64_t n_in, const ReadRows& read, const WriteRows& write) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  QuantizedVectors v;
  v.mx.resize(n_out);
  v.rx.resize(n_out);
  v.my.assign(n_in, kInfinity);
  v.ry.assign(n_in, 0.0f);
  const Minima minima{n_in > n_out, v};
  minima.find(n_out, n_in, read);

  each_row(n_out, n_in, read, [&](std::int64_t m, std::span<float> row) {
    minima.complete(m, row);
    minima.subtract(m, row);
    v.rx[m] = zero_as_one(*std::max_element(row.begin(), row.end()));
    for (std::int64_t n = 0; n < n_in; ++n) v.ry[n] = std::max(v.ry[n], row[n] / v.rx[m]);
  });
  for (float& ry : v.ry) ry = zero_as_one(ry);

  std::vector<std::uint8_t> q(n_in);
  each_row(n_out, n_in, read, [&](std::int64_t m, std::span<float> row) {
    minima.subtract(m, row);
    for (std::int64_t n = 0; n < n_in; ++n) {
      q[n] = static_cast<std::uint8_t>(std::clamp(std::floor(row[n] / v.rx[m] / v.ry[n] * 256.0f), 0.0f, 255.0f));
    }
    write(m, q);
  });
  for (float& rx : v.rx) rx /= 16.0f;
  for (float& ry : v.ry) ry /= 16.0f;
  return v;
}

void dequantize(const QuantizedVectors& v, std::int64_t first, std::span<const std::uint8_t> rows, std::span<float> out) {
  const std::size_t n_in = v.my.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t m = first + i / n_in, n = i % n_in;
    out[i] = (static_cast<float>(rows[i]) + 0.5f) * v.ry[n] * v.rx[m] + v.my[n] + v.mx[m];
  }
}

}  // namespace rwkv
