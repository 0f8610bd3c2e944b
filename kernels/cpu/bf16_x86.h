// SPDX-License-Identifier: Apache-2.0
// Products of bfloat16 blocks with the instructions that x86 has for them: AMX tiles, or AVX-512's dot products of pairs.
// Highway 1.0.3 has neither. An element of a pair is multiplied exactly, sums are float32.
#pragma once
#include <cstdint>

namespace rwkv::cpu {

// Rows of x, and rows of W, in a panel: those of a tile.
constexpr std::int64_t kPanel = 16;

// Part of a matrix W that is needed soon: [rows, n], rows ld apart.
struct Ahead {
  const std::uint16_t* w = nullptr;
  std::int64_t ld = 0, rows = 0, n = 0;
  std::int64_t row = 0, column = 0;  // what has not been asked for begins here
};

// Two panels of x times two panels of W.
struct Bf16Block {
  const std::uint16_t* x[2] = {};  // [depth / 32, kPanel, 32] each
  const std::uint32_t* w[2] = {};  // [depth / 2, kPanel] each: pairs of neighbours in depth, the first in the lower half
  std::int64_t depth = 0;          // a multiple of 32
  bool one = false;                // the second panel of x is left out
  float* c = nullptr;              // [2 kPanel, 2 kPanel], rows ldc apart: c (+)= x w; with one, half the rows
  std::int64_t ldc = 0;
  bool add = false;
  Ahead* ahead = nullptr;
  std::int64_t lines = 0;  // of `ahead` to ask for, for each 32 of depth
};

// Rows of W times one or two panels of x, whose planes are added up: c = W x^T. W is read as it lies in memory.
struct Bf16Rows {
  const std::uint16_t* w = nullptr;    // [4 kPanel, depth], with two panels [2 kPanel, depth]; rows ld apart
  std::int64_t ld = 0, depth = 0;      // depth: a multiple of 32
  const std::uint16_t* x[2] = {};      // first plane of each panel, of pairs; null: there is no second
  std::int64_t planes = 1, plane = 0;  // their number, and numbers from one to the next
  bool first = true, last = true;      // the sums begin with 0; are stored. Between calls they stay in tiles.
  float* c = nullptr;                  // [rows of W, kPanel or 2 kPanel], without gaps
  // Called before each product of tiles, 4 planes times for each 32 of depth: work for meanwhile. Little at a time: a burst of
  // requests for memory fills the queues that the loads of tiles need too.
  void (*beside)(void* work) = nullptr;
  void* work = nullptr;
};

// One or two panels of x, whose planes are added up, times panels of W: c (+)= x w. All tiles of c are used.
struct Bf16Columns {
  const std::uint16_t* x[2] = {};      // first plane of each panel, [depth / 32, kPanel, 32]; null: there is no second
  std::int64_t planes = 1, plane = 0;  // at most 3; numbers from one to the next
  const std::uint32_t* w = nullptr;    // [depth / 32, 4 panels, 16, kPanel] of pairs; two panels of x use the first 2 only
  std::int64_t depth = 0;              // a multiple of 32
  float* c = nullptr;                  // [panels of W, panels of x, kPanel, kPanel]
  bool add = false;
  void (*beside)(void* work) = nullptr;  // as of Bf16Rows
  void* work = nullptr;
};

// What lies in 32 numbers of a panel's depth.
enum class PanelOrder {
  rows,    // [kPanel, 32]
  pairs,   // [16, kPanel, 2]: neighbours
  halves,  // [16, kPanel, 2]: numbers k and k + 16
};

struct RowSource {
  const float* x;        // [rows, n], n apart
  std::int64_t rows, n;  // at most kPanel; any
  std::int64_t depth;    // of the panel, at least n, a multiple of 32
  int plane;             // 0: x rounded; 1, 2: what the planes before it leave of x, rounded
  PanelOrder order = PanelOrder::rows;
};

// [rows, depth], ld apart; or, input-major, [depth, rows].
struct WeightSource {
  const std::uint16_t* w;
  std::int64_t ld, rows, depth;
  bool input_major;
};

struct Bf16Kernel {
  const char* name;       // "AMX", "AVX512_BF16"
  bool beats_f32_thrice;  // three products take less time than one of float32
  void (*begin)();        // before blocks, on each thread
  void (*multiply)(const Bf16Block&);
  void (*multiply_rows)(const Bf16Rows&);        // null: no faster than multiply()
  void (*multiply_columns)(const Bf16Columns&);  // null together with multiply_rows
  void (*end)();
  // panel[k / 32, m, k % 32] = x[m, k] rounded to nearest even, for m < rows; 0 beyond rows and n. For other orders see there.
  void (*pack_x)(const RowSource&, std::uint16_t* panel);
  // panels[i / kPanel, k / 2, i % kPanel] = pair of w[i, k], w[i, k + 1]; 0 beyond rows and depth, up to multiples of 32.
  void (*pack_w)(const WeightSource&, std::uint32_t* panels);
};

// The best one this machine has; null: none.
[[nodiscard]] const Bf16Kernel* bf16_kernel();

// For tests and benchmarks: by name; null: this machine does not have it.
[[nodiscard]] const Bf16Kernel* bf16_kernel(const char* name);

}  // namespace rwkv::cpu
