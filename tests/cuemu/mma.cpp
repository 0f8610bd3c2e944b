// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "cuemu/core.h"

namespace cuemu {
namespace {

constexpr int kBits = 24, kLastBit = -149;  // of float32

double power_of_two(int exponent) { return std::bit_cast<double>(std::uint64_t(1023 + exponent) << 52); }

// In units of 2^bit, whose last bit is the largest number's: what lies below is cut.
float add_four(float sum, const double* products) {
  double largest = std::abs(double{sum}), all = sum;
  for (int i = 0; i < 4; ++i) largest = std::max(largest, std::abs(products[i])), all += products[i];
  if (!std::isfinite(all) || largest > 0x1p120) return static_cast<float>(all);
  const int exponent = static_cast<int>(std::bit_cast<std::uint64_t>(largest) >> 52) - 1023;
  const int bit = std::max(exponent - (kBits - 1), kLastBit);
  const double units = power_of_two(-bit);
  auto total = static_cast<std::int64_t>(sum * units);
  for (int i = 0; i < 4; ++i) total += static_cast<std::int64_t>(products[i] * units);
  const auto size = static_cast<std::uint64_t>(std::abs(total));
  const int below = std::max(static_cast<int>(std::bit_width(size)) - kBits, 0);
  const double result = static_cast<double>(size >> below << below) * power_of_two(bit);
  return static_cast<float>(total < 0 ? -result : result);
}

}  // namespace

float add_products(float sum, const double* products, int n) {
  for (int first = 0; first < n; first += 4) sum = add_four(sum, products + first);
  return sum;
}

}  // namespace cuemu
