// SPDX-License-Identifier: Apache-2.0
// Every kernel for bfloat16 that this machine has, not only the one that is chosen, against double-precision loops.
#include "kernels/cpu/bf16_x86.h"
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

}  // namespace
}  // namespace rwkv::test
