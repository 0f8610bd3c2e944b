// SPDX-License-Identifier: Apache-2.0
// What a device must supply for RWKV-4. A = n_att.
#pragma once
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace rwkv {

// Numerator aa and denominator bb of a weighted mean of v, both scaled by e^-pp, pp being the running maximum (spec 2.1):
//   p = max(pp, u + k)    out = r (e^(pp - p) aa + e^(u + k - p) v) / (e^(pp - p) bb + e^(u + k - p))
//   q = max(pp + w, k)    aa = e^(pp + w - q) aa + e^(k - q) v    bb = e^(pp + w - q) bb + e^(k - q)    pp = q
struct Wkv4 {
  Rows r;            // [R, A], after the sigmoid
  Rows k, v;         // [R, A]
  const float* w;    // [A], log of the decay: -exp(time_decay)
  const float* u;    // [A], time_first
  float* const* aa;  // [n_seq] pointers to [A]; advanced in place, like bb and pp
  float* const* bb;
  float* const* pp;
  Rows out;  // [R, A]
};

struct Rwkv4Kernels {
  void (*wkv)(Device&, const Batch&, const Wkv4&);
};

}  // namespace rwkv
