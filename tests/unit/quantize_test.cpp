// SPDX-License-Identifier: Apache-2.0
// 8-bit quantisation of several parts against the rules of spec 2.9 as plain loops over the whole matrix: equal bit by bit.
#include "weights/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

namespace rwkv::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Result {
  QuantizedVectors v;
  std::vector<std::uint8_t> q;
};

Result plain(std::vector<float> w, std::int64_t n_out, std::int64_t n_in) {
  Result r{{}, std::vector<std::uint8_t>(w.size())};
  const auto row_minima = [&] {
    for (std::int64_t m = 0; m < n_out; ++m) {
      float* const row = &w[m * n_in];
      r.v.mx.push_back(*std::min_element(row, row + n_in));
      for (std::int64_t n = 0; n < n_in; ++n) row[n] -= r.v.mx[m];
    }
  };
  const auto column_minima = [&] {
    r.v.my.assign(n_in, kInfinity);
    for (std::int64_t i = 0; i < std::ssize(w); ++i) r.v.my[i % n_in] = std::min(r.v.my[i % n_in], w[i]);
    for (std::int64_t i = 0; i < std::ssize(w); ++i) w[i] -= r.v.my[i % n_in];
  };
  if (n_in > n_out) column_minima();
  row_minima();
  if (n_in <= n_out) column_minima();
  const auto zero_as_one = [](float x) { return x == 0.0f ? 1.0f : x; };
  r.v.ry.assign(n_in, 0.0f);
  for (std::int64_t m = 0; m < n_out; ++m) r.v.rx.push_back(zero_as_one(*std::max_element(&w[m * n_in], &w[m * n_in] + n_in)));
  for (std::int64_t i = 0; i < std::ssize(w); ++i) r.v.ry[i % n_in] = std::max(r.v.ry[i % n_in], w[i] / r.v.rx[i / n_in]);
  std::ranges::transform(r.v.ry, r.v.ry.begin(), zero_as_one);
  for (std::int64_t i = 0; i < std::ssize(w); ++i) {
    const float share = std::floor(w[i] / r.v.rx[i / n_in] / r.v.ry[i % n_in] * 256.0f);
    r.q[i] = share > 0.0f ? static_cast<std::uint8_t>(std::min(share, 255.0f)) : 0;
  }
  for (float& x : r.v.rx) x /= 16.0f;
  for (float& x : r.v.ry) x /= 16.0f;
  return r;
}

// Every part on a thread of its own, the last one first.
void backwards_on_threads(std::int64_t n, std::int64_t at_once, const PartTask& task) {
  std::vector<std::thread> threads;
  for (std::int64_t part = (n + at_once - 1) / at_once - 1; part >= 0; --part)
    threads.emplace_back(task, part * at_once, std::min(at_once, n - part * at_once));
  for (auto& thread : threads) thread.join();
}

Result quantized(const std::vector<float>& w, std::int64_t n_out, std::int64_t n_in, const EachPart& each_part) {
  Result r{{}, std::vector<std::uint8_t>(w.size())};
  r.v = quantize({.n_out = n_out,
                  .n_in = n_in,
                  .read = [&](std::int64_t first,
                              std::span<float> rows) { std::copy_n(w.begin() + first * n_in, rows.size(), rows.begin()); },
                  .write = [&](std::int64_t first,
                               std::span<const std::uint8_t> rows) { std::ranges::copy(rows, r.q.begin() + first * n_in); },
                  .each_part = each_part});
  return r;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void expect_plain(const std::vector<float>& w, std::int64_t n_out, std::int64_t n_in) {
  const Result expected = plain(w, n_out, n_in);
  for (const EachPart& each_part : {EachPart(), EachPart(backwards_on_threads)}) {
    const Result found = quantized(w, n_out, n_in, each_part);
    EXPECT_TRUE(found.q == expected.q) << n_out << " " << n_in;
    EXPECT_TRUE(same_bits(found.v.mx, expected.v.mx)) << n_out << " " << n_in;
    EXPECT_TRUE(same_bits(found.v.rx, expected.v.rx)) << n_out << " " << n_in;
    EXPECT_TRUE(same_bits(found.v.my, expected.v.my)) << n_out << " " << n_in;
    EXPECT_TRUE(same_bits(found.v.ry, expected.v.ry)) << n_out << " " << n_in;
  }
}

constexpr std::pair<int, int> kSizes[] = {{1, 1}, {1, 70}, {70, 1}, {19, 37}, {37, 19}, {40, 40}, {2000, 611}, {611, 2000}};

TEST(Quantize, EqualsThePlainLoops) {
  std::mt19937 rng(5);
  for (const auto& [n_out, n_in] : kSizes) {
    std::normal_distribution<float> normal(0.01f, 0.1f);
    std::vector<float> w(n_out * n_in);
    for (float& x : w) x = normal(rng);
    expect_plain(w, n_out, n_in);
  }
}

// Few different numbers, so that many are equal: zeros of both signs are told apart only by which one came first.
TEST(Quantize, EqualsThePlainLoopsForZerosOfBothSignsAndForNan) {
  std::mt19937 rng(6);
  for (const float odd : {1.0f, -1.0f, kInfinity}) {
    const float numbers[] = {0.0f, -0.0f, 0.0f, -0.0f, 0.5f, odd};
    for (const auto& [n_out, n_in] : kSizes) {
      std::vector<float> w(n_out * n_in);
      for (float& x : w) x = numbers[rng() % (odd == kInfinity ? 5 : 6)];
      if (odd == kInfinity) w[rng() % w.size()] = std::numeric_limits<float>::quiet_NaN();
      expect_plain(w, n_out, n_in);
    }
  }
}

}  // namespace
}  // namespace rwkv::test
