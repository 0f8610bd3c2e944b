// SPDX-License-Identifier: Apache-2.0
// What a device must supply for RWKV-6: the attention of RWKV-5 with a decay that depends on the token.
#pragma once
#include "kernels/device.h"
#include "kernels/rwkv5.h"
#include "kernels/tensor.h"

namespace rwkv {

struct Rwkv6Kernels {
  void (*decay)(Device&, Rows z);  // z = exp(-exp(z)), in place
  void (*wkv)(Device&, const Batch&, const LinearAttention&);
};

}  // namespace rwkv
