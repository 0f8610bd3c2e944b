// SPDX-License-Identifier: Apache-2.0
// What a device must supply for RWKV-7. A = H N; all rows are [R, A], spec 2.4.
#pragma once
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace rwkv {

// Between the projections and WKV, in place:
//   w = exp(-0.606531 w)                      v = v + (v_first - v) v_mix
//   kk = k k_k / max(|k k_k|, 1e-12) per head (the old k)      b = kk a      k = k (1 + (a - 1) k_a)
struct Prepare7 {
  std::int64_t n_head;
  Rows w;  // in: sigmoid(w0 + ...); out: the decay
  Rows k, v;
  Rows a;                // in: in-context learning rate; out: b
  Rows kk;               // out
  const float* v_first;  // layer 0's v of the same rows; null in layer 0
  const float* v_mix;    // sigmoid(v0 + ...); null in layer 0
  const float* k_k;      // [A]
  const float* k_a;      // [A]
};

// Per head, S [N values, N keys]:  s_i = sum_j S_ij kk_j     S_ij = S_ij w_j - s_i b_j + v_i k_j     out_i = sum_j S_ij r_j
struct Wkv7 {
  std::int64_t n_head;
  Rows r, w, k, v, kk, b;
  StateArrays s;  // [H, N, N]; advanced in place
  Rows out;
};

// out = (HeadNorm(y) + (sum_j r_j k_j r_k_j) v) g, the sum per head
struct Output7 {
  std::int64_t n_head;
  Rows y;
  Rows r, k, v, g;
  const float* r_k;     // [A]
  const float* weight;  // [A], of ln_x
  const float* bias;    // [A]
  float eps;
  Rows out;  // may be y
};

// All of it: the three steps above, y being out.
struct DeltaRule {
  std::int64_t n_head;
  Rows r, w, k, v, a, g;  // as before Prepare7; those that it changes may be overwritten
  Rows kk;                // contents undefined, before and after
  const float* v_first;
  const float* v_mix;
  const float* k_k;
  const float* k_a;
  const float* r_k;
  const float* weight;
  const float* bias;
  float eps;
  StateArrays s;
  Rows out;

  // For a device that takes the steps one by one.
  [[nodiscard]] Prepare7 prepare() const { return {n_head, w, k, v, a, kk, v_first, v_mix, k_k, k_a}; }
  [[nodiscard]] Wkv7 wkv() const { return {n_head, r, w, k, v, kk, a, s, out}; }
  [[nodiscard]] Output7 output() const { return {n_head, out, r, k, v, g, r_k, weight, bias, eps, out}; }
};

struct Rwkv7Kernels {
  void (*delta_rule)(Device&, const Batch&, const DeltaRule&);
};

}  // namespace rwkv
