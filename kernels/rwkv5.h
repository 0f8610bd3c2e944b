// SPDX-License-Identifier: Apache-2.0
// What a device must supply for RWKV-5: linear attention with decay, which RWKV-6 shares. A = H N.
#pragma once
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace rwkv {

// Per head, S [N keys, N values] (spec 2.2):
//   out_j = sum_i r_i (S_ij + u_i k_i v_j)      S_ij = w_i S_ij + k_i v_j
struct LinearAttention {
  std::int64_t n_head;    // H
  Rows r, k, v;           // [R, A]
  const float* w;         // decay: [A] for all rows, or [R, A]
  std::int64_t w_stride;  // from row to row of w: 0 or A
  const float* u;         // [A], bonus of the current token
  StateArrays s;          // [H, N, N]; advanced in place
  Rows out;               // [R, A]
};

struct Rwkv5Kernels {
  void (*wkv)(Device&, const Batch&, const LinearAttention&);
};

}  // namespace rwkv
