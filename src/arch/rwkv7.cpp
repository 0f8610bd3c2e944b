// SPDX-License-Identifier: Apache-2.0
// RWKV-7 (spec 2.4; arXiv 2503.14456): the generalised delta rule. Weights have the checkpoint's names.
#include "arch/architecture.h"
#include "arch/channel_mix.h"
#include "arch/pass.h"

namespace rwkv {
namespace {

enum StateSlot { kAttX, kS, kFfnX };

// activation(x @ down) @ up + bias; stored [in, out], here [out, in]
struct LowRank {
  Matrix down;                  // [d, C]
  Matrix up;                    // [A, d]
  const float* bias = nullptr;  // [A]

  // letter: "w" for w1, w2, w0
  static LowRank load(WeightLoader& load, const ModelConfig& c, const std::string& letter, bool biased) {
    const auto stored = load.shape("att." + letter + "1");
    const std::int64_t rank = stored.size() == 2 ? stored[1] : kAnySize;
    return {load.low_rank("att." + letter + "1", c.n_embd, rank), load.low_rank("att." + letter + "2", rank, c.n_att),
            biased ? load.vector("att." + letter + "0", {c.n_att}) : nullptr};
  }
};

struct TimeMix7 {
  int n_head;
  float head_norm_eps;
  Norm ln1;
  const float *x_r, *x_w, *x_k, *x_v, *x_a, *x_g;  // [C]
  Matrix receptance, key, value;                   // [A, C]
  LowRank w, a, v, g;                              // decay, in-context learning rate, value residual (not layer 0), gate
  const float *k_k, *k_a, *r_k;                    // [A]
  Norm ln_x;                                       // [A]
  Matrix output;                                   // [C, A]

  static TimeMix7 load(WeightLoader& load, const ModelConfig& c, int layer) {
    const auto mix = [&](const char* name) { return load.vector(name, {c.n_embd}); };
    return {.n_head = c.n_head,
            .head_norm_eps = c.head_norm_eps,
            .ln1 = load_norm(load, "ln1", c.n_embd),
            .x_r = mix("att.x_r"),
            .x_w = mix("att.x_w"),
            .x_k = mix("att.x_k"),
            .x_v = mix("att.x_v"),
            .x_a = mix("att.x_a"),
            .x_g = mix("att.x_g"),
            .receptance = load.matrix("att.receptance.weight", c.n_att, c.n_embd),
            .key = load.matrix("att.key.weight", c.n_att, c.n_embd),
            .value = load.matrix("att.value.weight", c.n_att, c.n_embd),
            .w = LowRank::load(load, c, "w", true),
            .a = LowRank::load(load, c, "a", true),
            .v = layer > 0 ? LowRank::load(load, c, "v", true) : LowRank{},
            .g = LowRank::load(load, c, "g", false),
            .k_k = load.vector("att.k_k", {c.n_att}),
            .k_a = load.vector("att.k_a", {c.n_att}),
            .r_k = load.vector("att.r_k", {c.n_head, c.head_size}),
            .ln_x = load_norm(load, "att.ln_x", c.n_att),
            .output = load.matrix("att.output.weight", c.n_embd, c.n_att)};
  }

  void run(Pass& pass, bool first_layer) const {
    const auto [xr, xw, xk, xv, xa, xg] = pass.norm_shift(ln1, kAttX, {x_r, x_w, x_k, x_v, x_a, x_g});

    const std::int64_t n_att = key.n_out;
    const Rows r = pass.rows(n_att), k = pass.rows(n_att), vv = first_layer ? pass.v_first : pass.rows(n_att);
    const Rows w_low = pass.rows(w.down.n_out), a_low = pass.rows(a.down.n_out), g_low = pass.rows(g.down.n_out);
    const Rows decay = pass.rows(n_att), rate = pass.rows(n_att), gate = pass.rows(n_att);
    const Rows v_low = pass.rows(v.down.n_out), v_mix = pass.rows(v.up.n_out);  // none in layer 0
    const MatMul from_x[] = {
        {.x = xr, .weight = receptance, .out = r}, {.x = xk, .weight = key, .out = k},
        {.x = xv, .weight = value, .out = vv},     {.x = xw, .weight = w.down, .out = w_low, .activation = Activation::tanh},
        {.x = xa, .weight = a.down, .out = a_low}, {.x = xg, .weight = g.down, .out = g_low, .activation = Activation::sigmoid},
        {.x = xv, .weight = v.down, .out = v_low}};
    const MatMul from_low[] = {{.x = w_low, .weight = w.up, .out = decay, .bias = w.bias, .activation = Activation::sigmoid},
                               {.x = a_low, .weight = a.up, .out = rate, .bias = a.bias, .activation = Activation::sigmoid},
                               {.x = g_low, .weight = g.up, .out = gate},
                               {.x = v_low, .weight = v.up, .out = v_mix, .bias = v.bias, .activation = Activation::sigmoid}};
    pass.matmul(std::span(from_x).first(first_layer ? 6 : 7));
    pass.matmul(std::span(from_low).first(first_layer ? 3 : 4));

    const Rows kk = pass.rows(n_att), y = pass.rows(n_att);
    pass.kernels().rwkv7->delta_rule(pass.device(), pass.batch(),
                                     {.n_head = n_head,
                                      .r = r,
                                      .w = decay,
                                      .k = k,
                                      .v = vv,
                                      .a = rate,
                                      .g = gate,
                                      .kk = kk,
                                      .v_first = first_layer ? nullptr : pass.v_first.data,
                                      .v_mix = first_layer ? nullptr : v_mix.data,
                                      .k_k = k_k,
                                      .k_a = k_a,
                                      .r_k = r_k,
                                      .weight = ln_x.weight,
                                      .bias = ln_x.bias,
                                      .eps = head_norm_eps,
                                      .s = pass.s(kS),
                                      .out = y});
    pass.matmul({{.x = y, .weight = output, .out = pass.x, .add = true}});
  }
};

struct Block7 final : Block {
  bool first_layer;
  TimeMix7 att;
  ChannelMix ffn;

  Block7(WeightLoader& load, const ModelConfig& c, int layer)
      : first_layer(layer == 0), att(TimeMix7::load(load, c, layer)), ffn(ChannelMix::load(load, c, "x_", nullptr)) {}

  void run(Pass& pass) const override {
    att.run(pass, first_layer);
    ffn.run(pass, kFfnX);
  }
};

ModelConfig read_config(const Checkpoint& file) {
  ModelConfig config = read_common_config(file, 7);
  set_heads(file, config, require_shape(file, "blocks.0.att.r_k", 2, 2)[0]);
  return config;
}

}  // namespace

const Architecture kRwkv7{
    .version = 7,
    .matches = [](const Checkpoint& file) { return file.find("blocks.0.att.r_k") != nullptr; },
    .read_config = read_config,
    .state_slots = matrix_state_slots,
    .carries_v_first = true,
    .runs_on = [](const KernelTable& kernels) { return kernels.rwkv7 != nullptr; },
    .load_block = [](WeightLoader& load, const ModelConfig& c, int layer) -> std::unique_ptr<Block> {
      return std::make_unique<Block7>(load, c, layer);
    },
};

}  // namespace rwkv
