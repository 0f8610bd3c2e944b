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

void Head::run(Pass& pass, const std::int32_t* wanted, Rows logits) const {
  const Rows h = pass.workspace().rows(logits.n_row, pass.x.n_col);
  pass.kernels().common.layer_norm(pass.device(), {pass.x, ln_out.weight, ln_out.bias, kLayerNormEps, h, wanted});
  pass.matmul({{.x = h, .weight = head, .out = logits}});
}

}  // namespace rwkv
