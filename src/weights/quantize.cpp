// SPDX-License-Identifier: Apache-2.0
// The order of the float32 operations is the package's: the results are equal bit by bit.
#include "weights/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "kernels/quantize.h"

namespace rwkv {
namespace {

constexpr std::int64_t kPartFloats = std::int64_t{1} << 19;  // per read
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float zero_as_one(float x) { return x == 0.0f ? 1.0f : x; }

// The minima are subtracted in the order they are found in: of the columns first where the matrix is tall (n_in > n_out), of
// the rows first where it is wide or square. A first element that is NaN is the package's minimum and maximum.
class Quantizer {
 public:
  explicit Quantizer(const Quantization8& job)
      : job_(job), n_(job.n_in), at_once_(std::clamp<std::int64_t>(kPartFloats / n_, 1, job.n_out)), tall_(n_ > job.n_out) {}

  QuantizedVectors run() {
    v_.mx.resize(job_.n_out);
    v_.rx.resize(job_.n_out);
    v_.my = over_columns(kInfinity, [&](std::int64_t m, float* row, float* my) {
      if (!tall_) v_.mx[m] = std::isnan(row[0]) ? row[0] : kernels_.smallest(row, n_);
      kernels_.lower(row, v_.mx[m], my, n_);
    });
    v_.ry = over_columns(0.0f, [&](std::int64_t m, float* row, float* ry) {
      subtract_minima(m, row);
      v_.rx[m] = zero_as_one(std::isnan(row[0]) ? row[0] : kernels_.largest(row, n_));
      kernels_.raise(row, v_.rx[m], ry, n_);
    });
    std::ranges::transform(v_.ry, v_.ry.begin(), zero_as_one);
    tall_minima_known_ = true;
    each_part([&](std::int64_t first, std::span<float> rows) {
      const auto q = std::make_unique_for_overwrite<std::uint8_t[]>(rows.size());
      for (std::int64_t i = 0; i < std::ssize(rows) / n_; ++i) {
        float* const row = rows.data() + i * n_;
        subtract_minima(first + i, row);
        kernels_.quantize(row, v_.rx[first + i], v_.ry.data(), q.get() + i * n_, n_);
      }
      job_.write(first, {q.get(), rows.size()});
    });
    for (float& rx : v_.rx) rx /= 16.0f;
    for (float& ry : v_.ry) ry /= 16.0f;
    return std::move(v_);
  }

 private:
  // mx of a tall matrix needs all of my, so it is found when the rows are read again.
  void subtract_minima(std::int64_t m, float* row) {
    if (tall_) {
      kernels_.subtract_each(v_.my.data(), row, n_);
      if (!tall_minima_known_) v_.mx[m] = kernels_.smallest(row, n_);
    }
    kernels_.subtract(v_.mx[m], row, n_);
    if (!tall_) kernels_.subtract_each(v_.my.data(), row, n_);
  }

  template <class Visit>
  void each_part(const Visit& visit) {
    const PartTask task = [&](std::int64_t first, std::int64_t count) {
      const auto rows = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(count * n_));
      const std::span all(rows.get(), static_cast<std::size_t>(count * n_));
      job_.read(first, all);
      visit(first, all);
    };
    if (job_.each_part) return job_.each_part(job_.n_out, at_once_, task);
    for (std::int64_t first = 0; first < job_.n_out; first += at_once_) task(first, std::min(at_once_, job_.n_out - first));
  }

  // A minimum or maximum per column, found part by part with visit(m, row, extremes); what is found is combined in the order of
  // the parts, so that the first of two equal zeros counts as it does in one loop.
  template <class Visit>
  std::vector<float> over_columns(float start, const Visit& visit) {
    std::vector<std::vector<float>> of_part((job_.n_out + at_once_ - 1) / at_once_);
    each_part([&](std::int64_t first, std::span<float> rows) {
      std::vector<float>& found = of_part[first / at_once_];
      found.assign(n_, start);
      for (std::int64_t i = 0; i < std::ssize(rows) / n_; ++i) visit(first + i, rows.data() + i * n_, found.data());
    });
    std::vector<float> all(n_, start);
    for (const auto& part : of_part) {
      for (std::int64_t n = 0; n < n_; ++n) all[n] = start > 0 ? std::min(all[n], part[n]) : std::max(all[n], part[n]);
    }
    return all;
  }

  const Quantization8& job_;
  const std::int64_t n_, at_once_;
  const bool tall_;
  bool tall_minima_known_ = false;
  const QuantizeKernels kernels_ = quantize_kernels();
  QuantizedVectors v_;
};

}  // namespace

QuantizedVectors quantize(const Quantization8& job) { return Quantizer(job).run(); }

void dequantize(const QuantizedVectors& v, std::int64_t first, std::span<const std::uint8_t> rows, std::span<float> out) {
  const std::size_t n_in = v.my.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t m = first + i / n_in, n = i % n_in;
    out[i] = (static_cast<float>(rows[i]) + 0.5f) * v.ry[n] * v.rx[m] + v.my[n] + v.mx[m];
  }
}

}  // namespace rwkv
