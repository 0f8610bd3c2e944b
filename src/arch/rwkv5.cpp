// SPDX-License-Identifier: Apache-2.0
// RWKV-5.0, 5.1 and 5.2 (spec 2.2; arXiv 2404.05892): they differ in the gate (from 5.1) and in a decay and a bonus per channel
// (5.2) instead of per head, which is repeated here over the N channels of a head.
#include <cmath>

#include "arch/architecture.h"
#include "arch/channel_mix.h"
#include "arch/pass.h"

namespace rwkv {
namespace {

enum StateSlot { kAttX, kS, kFfnX };

// Stored per head [H] or per channel [H, N]; returned [A].
const float* per_channel(WeightLoader& load, const char* name, const ModelConfig& c, float (*change)(float)) {
  if (c.minor == 2) return load.vector(name, {c.n_head, c.head_size}, change);
  std::vector<float> all;
  for (const float x : load.host_vector(name, {c.n_head})) all.insert(all.end(), c.head_size, change ? change(x) : x);
  return load.upload(all);
}

// time_faaaa is used as it is, time_first is a logarithm (spec 1.2).
const float* load_bonus(WeightLoader& load, const ModelConfig& c) {
  if (load.has("att.time_faaaa")) return per_channel(load, "att.time_faaaa", c, nullptr);
  return per_channel(load, "att.time_first", c, [](float u) { return std::exp(u); });
}

struct TimeMix5 {
  int n_head;
  float head_norm_eps;
  Norm ln1;
  const float *time_mix_k, *time_mix_v, *time_mix_r;  // [C]
  const float* time_mix_g;                            // [C]; null in 5.0
  const float* decay;                                 // [A], exp(-exp(time_decay))
  const float* bonus;                                 // [A]
  Matrix key, value, receptance;                      // [A, C]
  Matrix gate;                                        // [A, C]; empty in 5.0
  Norm ln_x;                                          // [A]
  Matrix output;                                      // [C, A]

  static TimeMix5 load(WeightLoader& load, const ModelConfig& c) {
    const bool gated = c.minor > 0;
    const auto mix = [&](const char* name) { return load.vector(name, {c.n_embd}, share_of_previous); };
    return {.n_head = c.n_head,
            .head_norm_eps = c.head_norm_eps,
            .ln1 = load_norm(load, "ln1", c.n_embd),
            .time_mix_k = mix("att.time_mix_k"),
            .time_mix_v = mix("att.time_mix_v"),
            .time_mix_r = mix("att.time_mix_r"),
            .time_mix_g = gated ? mix("att.time_mix_g") : nullptr,
            .decay = per_channel(load, "att.time_decay", c, [](float d) { return std::exp(-std::exp(d)); }),
            .bonus = load_bonus(load, c),
            .key = load.matrix("att.key.weight", c.n_att, c.n_embd),
            .value = load.matrix("att.value.weight", c.n_att, c.n_embd),
            .receptance = load.matrix("att.receptance.weight", c.n_att, c.n_embd),
            .gate = gated ? load.matrix("att.gate.weight", c.n_att, c.n_embd) : Matrix{},
            .ln_x = load_norm(load, "att.ln_x", c.n_att),
            .output = load.matrix("att.output.weight", c.n_embd, c.n_att)};
  }

  void run(Pass& pass) const {
    const Rows k = pass.rows(key.n_out), v = pass.rows(value.n_out), r = pass.rows(receptance.n_out);
    Rows g;
    if (time_mix_g) {
      const auto [xk, xv, xr, xg] = pass.norm_shift(ln1, kAttX, {time_mix_k, time_mix_v, time_mix_r, time_mix_g});
      g = pass.rows(gate.n_out);
      pass.matmul({{.x = xk, .weight = key, .out = k},
                   {.x = xv, .weight = value, .out = v},
                   {.x = xr, .weight = receptance, .out = r},
                   {.x = xg, .weight = gate, .out = g, .activation = Activation::silu}});
    } else {
      const auto [xk, xv, xr] = pass.norm_shift(ln1, kAttX, {time_mix_k, time_mix_v, time_mix_r});
      pass.matmul({{.x = xk, .weight = key, .out = k},
                   {.x = xv, .weight = value, .out = v},
                   {.x = xr, .weight = receptance, .out = r}});
    }
    const Rows y = pass.rows(k.n_col);
    pass.kernels().rwkv5->wkv(pass.device(), pass.batch(), {n_head, r, k, v, decay, 0, bonus, pass.s(kS), y});
    pass.kernels().common.head_norm(pass.device(), {y, n_head, ln_x.weight, ln_x.bias, head_norm_eps, g.data, y});
    pass.matmul({{.x = y, .weight = output, .out = pass.x, .add = true}});
  }
};

struct Block5 final : Block {
  TimeMix5 att;
  ChannelMix ffn;

  Block5(WeightLoader& load, const ModelConfig& c)
      : att(TimeMix5::load(load, c)), ffn(ChannelMix::load(load, c, "time_mix_", share_of_previous)) {}

  void run(Pass& pass) const override {
    att.run(pass);
    ffn.run(pass, kFfnX);
  }
};

ModelConfig read_config(const Checkpoint& file) {
  ModelConfig config = read_common_config(file, 5);
  const auto& decay = require_shape(file, "blocks.0.att.time_decay", 1, 3);
  const bool gated = file.find("blocks.0.att.gate.weight") != nullptr;
  config.minor = !gated ? 0 : decay.size() > 1 && decay[1] > 1 ? 2 : 1;
  set_heads(file, config, decay[0]);
  return config;
}

}  // namespace

const Architecture kRwkv5{
    .version = 5,
    .matches =
        [](const Checkpoint& file) {
          return file.find("blocks.0.att.key.weight") && file.find("blocks.0.att.ln_x.weight") &&
                 file.find("blocks.0.att.time_mix_k");
        },
    .read_config = read_config,
    .state_slots = matrix_state_slots,
    .carries_v_first = false,
    .runs_on = [](const KernelTable& kernels) { return kernels.rwkv5 != nullptr; },
    .load_block = [](WeightLoader& load, const ModelConfig& c, int) -> std::unique_ptr<Block> {
      return std::make_unique<Block5>(load, c);
    },
};

}  // namespace rwkv
