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

TEST(Bf16, PanelsArePairsOfRoundedRowsAndOfWhatRoundingTookAway) {
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    for (const std::int64_t rows : {1, 15, 17, 32}) {
      for (const std::int64_t n : {1, 15, 16, 17, 31, 33, 64}) {
        const auto x = floats(rows * n, 1);
        for (const bool remainder : {false, true}) {
          const std::int64_t depth = (n + 31) / 32 * 32;
          std::vector<std::uint32_t> panel(depth / 2 * kPanel, 0x7fc07fc0);  // NaNs
          kernel->pack({x.data(), rows, n, depth, remainder}, panel.data());
          for (std::int64_t k = 0; k < depth; ++k) {
            for (std::int64_t m = 0; m < kPanel; ++m) {
              const float value = m < rows && k < n ? x[m * n + k] : 0.0f;
              const auto found = static_cast<std::uint16_t>(panel[k / 2 * kPanel + m] >> (k % 2 * 16));
              ASSERT_EQ(found, f32_to_bf16(remainder ? value - rounded(value) : value))
                  << name << " row " << m << " column " << k;
            }
          }
        }
      }
    }
  }
}

TEST(Bf16, ColumnsOfAnInputMajorMatrixBecomeRows) {
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    for (const std::int64_t count : {1, 15, 17, 40}) {
      for (const std::int64_t depth : {1, 2, 31, 33, 64}) {
        const std::int64_t ld = count + 3, rows = count + 5, ld_to = (depth + 31) / 32 * 32 + 2;
        std::vector<std::uint16_t> v(depth * ld), to(rows * ld_to, 7);
        for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<std::uint16_t>(i + 1);
        kernel->transpose({v.data(), ld, depth, count}, rows, to.data(), ld_to);
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t k = 0; k < ld_to; ++k) {
            const int expected = k >= ld_to - 2 ? 7 : i < count && k < depth ? v[k * ld + i] : 0;
            ASSERT_EQ(to[i * ld_to + k], expected) << name << " " << i << " " << k;
          }
        }
      }
    }
  }
}

// c [n, kPanel] = a b, or added to; products of 8-bit numbers are exact, so the error is that of a float32 sum.
TEST(Bf16, BlocksEqualPlainLoops) {
  for (const char* name : kNames) {
    const Bf16Kernel* const kernel = cpu::bf16_kernel(name);
    if (!kernel) continue;
    for (const std::int64_t n : {kernel->step_n, 2 * kernel->step_n}) {
      for (const std::int64_t depth : {32, 64, 160}) {
        for (const std::int64_t m : {1, 16, 17, 32}) {
          const std::int64_t lda = depth + 6, ldc = kPanel + 8;
          const auto weights = floats(n * lda, 2), x = floats(m * depth, 3), before = floats(n * ldc, 4);
          std::vector<std::uint16_t> a;
          for (const float w : weights) a.push_back(f32_to_bf16(w));
          std::vector<std::uint32_t> b(depth / 2 * kPanel);
          kernel->pack({x.data(), m, depth, depth, false}, b.data());
          for (const bool add : {false, true}) {
            auto c = before;
            kernel->begin();
            kernel->multiply({a.data(), lda, b.data(), n, depth, m, c.data(), ldc, add});
            kernel->end();
            for (std::int64_t i = 0; i < n * m; ++i) {
              const std::int64_t row = i / m, column = i % m;
              double sum = add ? before[row * ldc + column] : 0.0, size = std::abs(sum);
              for (std::int64_t k = 0; k < depth; ++k) {
                const double term = double(bf16_to_f32(a[row * lda + k])) * rounded(x[column * depth + k]);
                sum += term;
                size += std::abs(term);
              }
              ASSERT_NEAR(c[row * ldc + column], sum, std::sqrt(double(depth)) * kUlp * size)
                  << name << " " << n << " " << depth;
            }
            for (std::int64_t i = 0; i < n * ldc; ++i) {
              ASSERT_TRUE(i % ldc < kPanel || c[i] == before[i]) << "outside of the block";
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rwkv::test
