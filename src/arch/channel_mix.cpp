// SPDX-License-Identifier: Apache-2.0
#include "arch/channel_mix.h"

namespace rwkv {

Norm load_norm(WeightLoader& load, const std::string& name, std::int64_t n) {
  return {load.vector(name + ".weight", {n}), load.vector(name + ".bias", {n})};
}

ChannelMix ChannelMix::load(WeightLoader& load, const ModelConfig& c, const std::string& mix, float (*change)(float)) {
  const bool gated = c.version < 7;
  return {.ln2 = load_norm(load, "ln2", c.n_embd),
          .x_k = load.vector("ffn." + mix + "k", {c.n_embd}, change),
          .x_r = gated ? load.vector("ffn." + mix + "r", {c.n_embd}, change) : nullptr,
          .key = load.matrix("ffn.key.weight", c.n_ffn, c.n_embd),
          .value = load.input_major("ffn.value.weight", c.n_embd, c.n_ffn),
          .receptance = gated ? load.matrix("ffn.receptance.weight", c.n_embd, c.n_embd) : Matrix{}};
}

// Versions 4 to 6: x = x + sigmoid(Fr xr) (Fv relu(Fk xk)^2).  Version 7: x = x + Fv relu(Fk xk)^2.
void ChannelMix::run(Pass& pass, int last_x_slot) const {
  const Rows k = pass.rows(key.n_out);
  if (!x_r) {
    const auto [xk] = pass.norm_shift(ln2, last_x_slot, {x_k});
    pass.matmul({{.x = xk, .weight = key, .out = k, .activation = Activation::relu_squared}});
    pass.matmul({{.x = k, .weight = value, .out = pass.x, .add = true}});
    return;
  }
  const auto [xk, xr] = pass.norm_shift(ln2, last_x_slot, {x_k, x_r});
  const Rows r = pass.rows(receptance.n_out);
  pass.matmul({{.x = xk, .weight = key, .out = k, .activation = Activation::relu_squared},
               {.x = xr, .weight = receptance, .out = r, .activation = Activation::sigmoid}});
  pass.matmul({{.x = k, .weight = value, .out = pass.x, .add = true, .gate = r.data}});
}

}  // namespace rwkv
