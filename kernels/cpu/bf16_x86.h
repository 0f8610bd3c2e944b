// SPDX-License-Identifier: Apache-2.0
// Products of bfloat16 blocks with the instructions that x86 has for them: AMX tiles, or AVX-512's dot products of pairs.
// Highway 1.0.3 has neither. An element of a pair is multiplied exactly, sums are float32.
#pragma once
#include <cstdint>

namespace rwkv::cpu {

// Rows of x in one panel.
constexpr std::int64_t kPanel = 32;

struct Bf16Block {
  const std::uint16_t* a = nullptr;  // [n, depth], rows lda apart
  std::int64_t lda = 0;
  const std::uint32_t* b = nullptr;  // [depth / 2, kPanel]: pairs of neighbours in depth, the first in the lower half
  std::int64_t n = 0, depth = 0;     // multiples of the kernel's step_n and step_depth
  std::int64_t m = 0;                // columns of b that matter, at most kPanel
  float* c = nullptr;                // [n, kPanel], rows ldc apart: c (+)= a b
  std::int64_t ldc = 0;
  bool add = false;
};

struct PanelSource {
  const float* x;        // [rows, n], n apart
  std::int64_t rows, n;  // at most kPanel; any
  std::int64_t depth;    // of the panel, at least n
  bool remainder;        // of x what rounding took away, rounded, instead of x
};

// Columns of an input-major matrix, [depth, count], rows ld apart.
struct ColumnSource {
  const std::uint16_t* v;
  std::int64_t ld, depth, count;
};

struct Bf16Kernel {
  const char* name;  // "AMX", "AVX512_BF16"
  std::int64_t step_n, step_depth;
  void (*begin)();  // before blocks, on each thread
  void (*multiply)(const Bf16Block&);
  void (*end)();
  // panel[k / 2, m] = pair of x[m, k], x[m, k + 1] rounded to nearest even, for m < rows; 0 beyond rows and n. depth is even.
  void (*pack)(const PanelSource&, std::uint32_t* panel);
  // to[i, k] = v[k, i]; 0 beyond them up to `rows` rows and to a depth that is a multiple of 32. Rows of `to` are `ld` apart.
  void (*transpose)(const ColumnSource&, std::int64_t rows, std::uint16_t* to, std::int64_t ld);
};

// The best one this machine has; null: none.
[[nodiscard]] const Bf16Kernel* bf16_kernel();

// For tests and benchmarks: by name; null: this machine does not have it.
[[nodiscard]] const Bf16Kernel* bf16_kernel(const char* name);

}  // namespace rwkv::cpu
