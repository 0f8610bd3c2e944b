// SPDX-License-Identifier: Apache-2.0
#include "arch/stem.h"

#include "arch/channel_mix.h"

namespace rwkv {

Stem Stem::load(WeightLoader& load, const ModelConfig& c) {
  load.set_prefix("");
  return {.emb = load.table("emb.weight", c.n_vocab, c.n_embd), .ln0 = load_norm(load, "blocks.0.ln0", c.n_embd)};
}

void Stem::run(Pass& pass, const std::int32_t* tokens) const {
  pass.kernels().common.embed(pass.device(), {tokens, emb, ln0.weight, ln0.bias, kLayerNormEps, pass.x});
}

Head Head::load(WeightLoader& load, const ModelConfig& c) {
  load.set_prefix("");
  return {.ln_out = load_norm(load, "ln_out", c.n_embd), .head = load.matrix("head.weight", c.n_vocab, c.n_embd)};
}

void Head::run(Device& device, Rows x, Rows logits) const {
  const CommonKernels& kernels = device.kernels().common;
  kernels.layer_norm(device, {x, ln_out.weight, ln_out.bias, kLayerNormEps, x});
  const MatMul product{.x = x, .weight = head, .out = logits};
  kernels.matmul(device, {&product, 1});
}

}  // namespace rwkv
