// SPDX-License-Identifier: Apache-2.0
// Every kernel for bfloat16 that this machine has, not only the one that is chosen, against double-precision loops.
#include "kernels/cpu/bf16_x86.h"

#include <algorithm>

#include "kernels/half.h"
#include "kernels/kernel_testing.h"

namespace rwkv::test {
namespace {

using cpu::Bf16Block;
using cpu::Bf16Kernel;
using cpu::kPanel;

constexpr const char* kNames[] = {"AMX", "AVX512_BF16"};

float rounded(float x) { return bf16_to_f32(f32_to_bf16(x)); }

TEST(Bf16, PanelsOfXAreRoundedRowsOrWhatRoundingTookAway) {
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    for (const std::int64_t rows : {1, 15, 16}) {
      for (const std::int64_t n : {1, 15, 16, 17, 31, 33, 64}) {
        const auto x = floats(rows * n, 1);
        for (const int plane : {0, 1, 2}) {
          const std::int64_t depth = (n + 31) / 32 * 32;
          std::vector<std::uint16_t> panel(depth * kPanel, 0x7fc0);  // NaNs
          kernel->pack_x({x.data(), rows, n, depth, plane}, panel.data());
          for (std::int64_t k = 0; k < depth; ++k) {
            for (std::int64_t m = 0; m < kPanel; ++m) {
              float value = m < rows && k < n ? x[m * n + k] : 0.0f;
              for (int before = 0; before < plane; ++before) value -= rounded(value);
              ASSERT_EQ(panel[(k / 32 * kPanel + m) * 32 + k % 32], f32_to_bf16(value))
                  << name << " row " << m << " column " << k;
            }
          }
        }
      }
    }
  }
}

TEST(Bf16, PanelsOfWArePairsFromBothLayouts) {
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    for (const std::int64_t rows : {1, 15, 16, 17, 40}) {
      for (const std::int64_t depth : {1, 2, 31, 32, 33, 96}) {
        for (const bool input_major : {false, true}) {
          const std::int64_t ld = (input_major ? rows : depth) + 3, padded = (depth + 31) / 32 * 32;
          const std::int64_t panels = (rows + 31) / 32 * 2, pairs = panels * padded / 2 * kPanel;
          std::vector<std::uint16_t> w((input_major ? depth : rows) * ld);
          for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<std::uint16_t>(i + 1);
          std::vector<std::uint32_t> storage(pairs + 32, 7);
          std::uint32_t* const packed = storage.data() + -reinterpret_cast<std::uintptr_t>(storage.data()) % 64 / 4;
          kernel->pack_w({w.data(), ld, rows, depth, input_major}, packed);
          for (std::int64_t at = 0; at < pairs; ++at) {
            const std::int64_t i = at / (padded / 2 * kPanel) * kPanel + at % kPanel, k = at / kPanel % (padded / 2) * 2;
            for (std::int64_t half = 0; half < 2; ++half) {
              const std::int64_t from = input_major ? (k + half) * ld + i : i * ld + k + half;
              const int expected = i < rows && k + half < depth ? w[from] : 0;
              ASSERT_EQ(packed[at] >> (16 * half) & 0xffff, expected) << name << " " << input_major << " " << i << " " << k;
            }
          }
          ASSERT_EQ(packed[pairs], 7u) << "outside of the panels";
        }
      }
    }
  }
}

// c = x w, or added to; products of 8-bit numbers are exact, so the error is that of a float32 sum.
TEST(Bf16, BlocksEqualPlainLoops) {
  constexpr std::int64_t kColumns = 2 * kPanel, kC = kColumns + 8;  // columns of c, distance of its rows
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    for (const std::int64_t depth : {32, 64, 160}) {
      for (const bool one : {true, false}) {
        for (const bool add : {false, true}) {
          const std::int64_t rows = one ? kPanel : 2 * kPanel;
          const auto x = floats(rows * depth, 2), w = floats(depth * kColumns, 3), before = floats(2 * kPanel * kC, 4);
          Bf16Block block{.depth = depth, .one = one, .ldc = kC, .add = add};
          std::vector<std::uint16_t> panels[2];
          for (std::int64_t i = 0; i < rows / kPanel; ++i) {
            panels[i].resize(depth * kPanel);
            kernel->pack_x({x.data() + i * kPanel * depth, kPanel, depth, depth, false}, panels[i].data());
            block.x[i] = panels[i].data();
          }
          std::vector<std::uint32_t> pairs(depth / 2 * kColumns);  // [2, depth / 2, kPanel]
          for (std::int64_t i = 0; i < kColumns; ++i) {
            for (std::int64_t k = 0; k < depth; ++k) {
              pairs[(i / kPanel * depth / 2 + k / 2) * kPanel + i % kPanel] |= f32_to_bf16(w[k * kColumns + i]) << k % 2 * 16;
            }
          }
          for (int i = 0; i < 2; ++i) block.w[i] = pairs.data() + i * depth / 2 * kPanel;
          auto c = before;
          cpu::Ahead ahead{.w = panels[0].data(), .ld = 32, .rows = 3, .n = 32};  // asked for and never read
          block.c = c.data(), block.ahead = &ahead, block.lines = 2;
          kernel->begin();
          kernel->multiply(block);
          kernel->end();
          for (std::int64_t at = 0; at < std::ssize(c); ++at) {
            const std::int64_t m = at / kC, i = at % kC;
            if (m >= rows || i >= kColumns) {
              ASSERT_EQ(c[at], before[at]) << "outside of the block";
              continue;
            }
            double sum = add ? before[at] : 0.0, size = std::abs(sum);
            for (std::int64_t k = 0; k < depth; ++k) {
              const double term = double(rounded(x[m * depth + k])) * rounded(w[k * kColumns + i]);
              sum += term;
              size += std::abs(term);
            }
            ASSERT_NEAR(c[at], sum, std::sqrt(double(depth)) * kUlp * size) << name << " " << m << " " << i << " " << depth;
          }
        }
      }
    }
  }
}

TEST(Bf16, PanelsOfPairsHoldTheSameNumbers) {
  constexpr std::int64_t kRows = 13, kN = 70, kDepth = 96;
  const auto x = floats(kRows * kN, 5);
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    std::vector<std::uint16_t> rows(kDepth * kPanel);
    kernel->pack_x({x.data(), kRows, kN, kDepth, 1}, rows.data());
    for (const cpu::PanelOrder order : {cpu::PanelOrder::pairs, cpu::PanelOrder::halves}) {
      std::vector<std::uint16_t> storage(rows.size() + 32);
      std::uint16_t* const pairs = storage.data() + -reinterpret_cast<std::uintptr_t>(storage.data()) % 64 / 2;
      kernel->pack_x({x.data(), kRows, kN, kDepth, 1, order}, pairs);
      for (std::int64_t k = 0; k < kDepth; ++k) {
        const std::int64_t at = k % 32, pair = order == cpu::PanelOrder::pairs ? at / 2 : at % 16;
        const std::int64_t half = order == cpu::PanelOrder::pairs ? at % 2 : at / 16;
        for (std::int64_t m = 0; m < kPanel; ++m) {
          ASSERT_EQ(pairs[(k - at) * kPanel + (pair * kPanel + m) * 2 + half], rows[(k - at) * kPanel + m * 32 + at])
              << name << " row " << m << " column " << k;
        }
      }
    }
  }
}

// c = W x^T in two calls, x the sum of planes: what is kept between the calls, and which tile holds what. The error is that of
// float32 sums.
TEST(Bf16, RowsOfWTimesPairsOfXEqualPlainLoops) {
  constexpr std::int64_t kDepth = 160, kFirst = 64, kLd = kDepth + 8;
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel || !kernel->multiply_rows) continue;
    for (const std::int64_t panels : {1, 2}) {
      for (const std::int64_t planes : {1, 2, 3}) {
        const std::int64_t rows = 4 * kPanel / panels, width = panels * kPanel, plane = kDepth * kPanel;
        const auto x = floats(width * kDepth, 6), w = floats(rows * kLd, 7);
        std::vector<std::uint16_t> bf16_w(w.size()), storage(panels * planes * plane + 32);
        std::ranges::transform(w, bf16_w.begin(), f32_to_bf16);
        std::uint16_t* const pairs = storage.data() + -reinterpret_cast<std::uintptr_t>(storage.data()) % 64 / 2;
        for (std::int64_t i = 0; i < panels * planes; ++i) {
          kernel->pack_x({x.data() + i / planes * kPanel * kDepth, kPanel, kDepth, kDepth, static_cast<int>(i % planes),
                          cpu::PanelOrder::pairs},
                         pairs + i * plane);
        }
        std::vector<float> c(rows * width + 1, 7.0f);
        int steps = 0;
        cpu::Bf16Rows o{.ld = kLd, .planes = planes, .plane = plane, .c = c.data(), .work = &steps};
        o.beside = [](void* work) { ++*static_cast<int*>(work); };
        kernel->begin();
        for (const std::int64_t k : {std::int64_t{0}, kFirst}) {
          o.w = bf16_w.data() + k;
          o.depth = k == 0 ? kFirst : kDepth - kFirst;
          for (std::int64_t i = 0; i < panels; ++i) o.x[i] = pairs + i * planes * plane + k * kPanel;
          o.first = k == 0;
          o.last = k > 0;
          kernel->multiply_rows(o);
        }
        kernel->end();
        EXPECT_EQ(steps, kDepth / 32 * 4 * planes);
        EXPECT_EQ(c.back(), 7.0f) << "outside of the block";
        for (std::int64_t at = 0; at < rows * width; ++at) {
          const std::int64_t i = at / width, m = at % width;
          double sum = 0.0, size = 0.0;
          for (std::int64_t k = 0; k < kDepth; ++k) {
            float left = x[m * kDepth + k];
            for (std::int64_t p = 0; p < planes; ++p, left -= rounded(left)) {
              const double term = double(rounded(left)) * rounded(w[i * kLd + k]);
              sum += term;
              size += std::abs(term);
            }
          }
          ASSERT_NEAR(c[at], sum, std::sqrt(double(kDepth)) * kUlp * size) << name << " " << i << " " << m << " " << panels;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rwkv::test
