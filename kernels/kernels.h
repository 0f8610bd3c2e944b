// SPDX-License-Identifier: Apache-2.0
// What every device supplies: the steps of RWKV as plain functions, one table per device. R rows, C = n_embd.
#pragma once
#include <span>

#include "kernels/device.h"
#include "kernels/rwkv4.h"
#include "kernels/rwkv5.h"
#include "kernels/rwkv6.h"
#include "kernels/rwkv7.h"
#include "kernels/sample.h"
#include "kernels/tensor.h"

namespace rwkv {

// out[r] = LN(table[tokens[r]]; weight, bias)
struct Embed {
  const std::int32_t* tokens;  // [R]
  Matrix table;                // [n_vocab, C]: f32, f16 or bf16
  const float* weight;         // [C], of ln0
  const float* bias;           // [C]
  float eps;
  Rows out;  // [R, C]
};

// out = (x - mean) / sqrt(variance + eps) weight + bias, over each row; biased variance
struct LayerNorm {
  Rows x;               // [R, C], or more rows where `rows` chooses
  const float* weight;  // [C]
  const float* bias;    // [C]
  float eps;
  Rows out;                            // [R, C]; may be x, unless `rows` chooses
  const std::int32_t* rows = nullptr;  // [R], which of x, on the device; null: all, in order
};

enum class Activation { none, tanh, sigmoid, silu, relu_squared };

// y = activation(x W^T + bias);  out = y, or out += y, or out += gate * y
// Sums are float32, and so is x, with two exceptions. Where the device multiplies bfloat16 (rounds_x) and W is bf16 or i4, x of
// 9 to 32 rows is rounded to 16 bits (the sum of two bfloat16), of more to 8 bits, and the numbers of i4 to 8 bits. Up to 8
// rows of x may be rounded to 2^-21 of their largest number for i8, to 2^-15 for i4 (CUDA: up to 4 rows, of i4 only, to 2^-16
// of the largest of 32 neighbours). CUDA rounds more than 32 rows to 11 bits for f16; of i8 and i4 more than 64, and W as well.
struct MatMul {
  Rows x;                       // [R, n_in]
  Matrix weight;                // [n_out, n_in]
  Rows out;                     // [R, n_out]; not x
  const float* bias = nullptr;  // [n_out]; null: 0
  Activation activation = Activation::none;
  bool add = false;             // to what is in out
  const float* gate = nullptr;  // [R, n_out]; only with add; null: 1
};

// LayerNorm and token shift: out = h + mu (h' - h), h = LN(x; weight, bias), h' being h of the row before, of the first row of
// a sequence its last_x. Afterwards last_x = h of the last row of each sequence.
struct NormShift {
  struct Output {
    const float* mu;  // [C]; null: 0
    float* out;       // [R, C]; not x
  };
  Rows x;               // [R, C]
  const float* weight;  // [C]
  const float* bias;    // [C]
  float eps;
  float* const* last_x;             // [n_seq] pointers to [C]
  std::span<const Output> outputs;  // on the host, at most kMostShifts
  float* difference = nullptr;      // [R, C], h' - h; null: not wanted
};
constexpr int kMostShifts = 8;

// Per head of N values: out = ((x - mean) / sqrt(variance + eps)) weight + bias, times gate; biased variance
struct HeadNorm {
  Rows x;               // [R, A]
  std::int64_t n_head;  // A = n_head N
  const float* weight;  // [A]
  const float* bias;    // [A]
  float eps;
  const float* gate;  // [R, A]; null: 1
  Rows out;           // [R, A]; may be x
};

struct CommonKernels {
  void (*embed)(Device&, const Embed&);
  void (*layer_norm)(Device&, const LayerNorm&);
  void (*norm_shift)(Device&, const Batch&, const NormShift&);
  void (*matmul)(Device&, std::span<const MatMul>);  // a group is one parallel region
  void (*head_norm)(Device&, const HeadNorm&);
  std::size_t (*scratch_bytes)(Device&, const MatMul&);  // that matmul takes for a product, see Device; null: none
  void (*sample)(Device&, const Sample&) = nullptr;      // null, of the host only: tokens are drawn by src/sampling
};

struct KernelTable {
  const char* name;  // "AVX3"
  bool rounds_x;     // products of bf16 and i4 matrices round x, if it has many rows: see MatMul
  // Rows of a forward that it shall be given at once: enough for products to be bound by arithmetic.
  std::int64_t round_rows;
  bool half_states;  // S of versions 5 to 7 can be float16, from -65504 to 65504: rounded once per call and token or less often
  CommonKernels common;
  const Rwkv4Kernels* rwkv4;  // null: this device cannot run RWKV-4
  const Rwkv5Kernels* rwkv5;
  const Rwkv6Kernels* rwkv6;
  const Rwkv7Kernels* rwkv7;
};

}  // namespace rwkv
