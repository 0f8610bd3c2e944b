// SPDX-License-Identifier: Apache-2.0
// What is around the blocks in every version: embedding with ln0 in front, ln_out and head behind (spec 1.1, 1.4).
#pragma once
#include "arch/architecture.h"
#include "arch/pass.h"

namespace rwkv {

// x = LN(emb.weight[token]; ln0). The norm is computed for the rows used: the table stays in its stored type and nothing is
// rounded twice.
struct Stem {
  Matrix emb;  // [n_vocab, C]
  Norm ln0;    // [C]

  static Stem load(WeightLoader& load, const ModelConfig& config);
  void run(Pass& pass, const std::int32_t* tokens) const;  // tokens: [R], on the device
};

// logits = head.weight LN(x; ln_out)
struct Head {
  Norm ln_out;  // [C]
  Matrix head;  // [n_vocab, C]

  static Head load(WeightLoader& load, const ModelConfig& config);
  void run(Pass& pass, const std::int32_t* wanted, Rows logits) const;  // wanted: [n] rows of x, on the device
};

}  // namespace rwkv
