// SPDX-License-Identifier: Apache-2.0
// RWKV-6 (spec 2.3; arXiv 2404.05892): token shift and decay depend on the token.
#include <array>

#include "arch/architecture.h"
#include "arch/channel_mix.h"
#include "arch/pass.h"

namespace rwkv {
namespace {

enum StateSlot { kAttX, kS, kFfnX };
constexpr int kShifts = 5;  // w k v r g, the order of time_maa_w1 and time_maa_w2

struct TimeMix6 {
  int n_head;
  float head_norm_eps;
  Norm ln1;
  const float* time_maa_x;                     // [C]
  std::array<const float*, kShifts> time_maa;  // [C] each
  std::array<Matrix, kShifts> time_maa_w1;     // [m, C] each
  std::array<Matrix, kShifts> time_maa_w2;     // [C, m] each
  const float* time_decay;                     // [A]
  Matrix time_decay_w1;                        // [d, C]
  Matrix time_decay_w2;                        // [A, d]
  const float* time_faaaa;                     // [A]
  Matrix receptance, key, value, gate;         // [A, C]
  Norm ln_x;                                   // [A]
  Matrix output;                               // [C, A]

  static TimeMix6 load(WeightLoader& load, const ModelConfig& c) {
    const auto mix = [&](const char* name) { return load.vector(name, {c.n_embd}); };
    TimeMix6 w{.n_head = c.n_head,
               .head_norm_eps = c.head_norm_eps,
               .ln1 = load_norm(load, "ln1", c.n_embd),
               .time_maa_x = mix("att.time_maa_x"),
               .time_maa = {mix("att.time_maa_w"), mix("att.time_maa_k"), mix("att.time_maa_v"), mix("att.time_maa_r"),
                            mix("att.time_maa_g")},
               .time_maa_w1 = {},
               .time_maa_w2 = {},
               .time_decay = load.vector("att.time_decay", {c.n_att}),
               .time_decay_w1 = load.low_rank("att.time_decay_w1", c.n_embd, kAnySize),
               .time_decay_w2 = {},
               .time_faaaa = load.vector("att.time_faaaa", {c.n_head, c.head_size}),
               .receptance = load.matrix("att.receptance.weight", c.n_att, c.n_embd),
               .key = load.matrix("att.key.weight", c.n_att, c.n_embd),
               .value = load.matrix("att.value.weight", c.n_att, c.n_embd),
               .gate = load.matrix("att.gate.weight", c.n_att, c.n_embd),
               .ln_x = load_norm(load, "att.ln_x", c.n_att),
               .output = load.matrix("att.output.weight", c.n_embd, c.n_att)};
    w.load_low_rank(load, c);
    return w;
  }

  void load_low_rank(WeightLoader& load, const ModelConfig& c) {
    const auto last_size = [&](const char* name, std::size_t rank) {
      const auto shape = load.shape(name);
      return shape.size() == rank ? shape[rank == 3 ? 1 : 0] : kAnySize;
    };
    time_decay_w2 = load.low_rank("att.time_decay_w2", last_size("att.time_decay_w2", 2), c.n_att);
    const std::int64_t m = last_size("att.time_maa_w2", 3);
    const Matrix w1 = load.low_rank("att.time_maa_w1", c.n_embd, m == kAnySize ? kAnySize : kShifts * m);
    for (int i = 0; i < kShifts; ++i) {
      time_maa_w2[i] = load.low_rank("att.time_maa_w2", m, c.n_embd, i, kShifts);
      time_maa_w1[i] = w1;
      time_maa_w1[i].n_out = w1.n_out / kShifts;
      time_maa_w1[i].data = static_cast<const std::byte*>(w1.data) + i * time_maa_w1[i].n_out * w1.n_in * bytes_of(w1.type);
    }
  }

  // x_c = h + (time_maa_c + tanh(x_x w1_c) w2_c) (h' - h)  for c in w, k, v, r, g; x_x = h + time_maa_x (h' - h)
  std::array<Rows, kShifts> data_dependent_shift(Pass& pass) const {
    const Rows difference = pass.rows(pass.x.n_col);
    const auto [xx, xw, xk, xv, xr, xg] =  // all but the first: h, to which the products add
        pass.norm_shift(ln1, kAttX, {time_maa_x, nullptr, nullptr, nullptr, nullptr, nullptr}, difference.data);
    const std::array<Rows, kShifts> mixed{xw, xk, xv, xr, xg};
    std::array<MatMul, kShifts> down, up;
    for (int i = 0; i < kShifts; ++i) {
      const Rows low = pass.rows(time_maa_w1[i].n_out);
      down[i] = {.x = xx, .weight = time_maa_w1[i], .out = low, .activation = Activation::tanh};
      up[i] = {.x = low, .weight = time_maa_w2[i], .out = mixed[i], .bias = time_maa[i], .add = true, .gate = difference.data};
    }
    pass.matmul(down);
    pass.matmul(up);
    return mixed;
  }

  void run(Pass& pass) const {
    const auto [xw, xk, xv, xr, xg] = data_dependent_shift(pass);
    const Rows r = pass.rows(receptance.n_out), k = pass.rows(key.n_out), v = pass.rows(value.n_out), g = pass.rows(gate.n_out);
    const Rows w_low = pass.rows(time_decay_w1.n_out), w = pass.rows(time_decay_w2.n_out);
    pass.matmul({{.x = xr, .weight = receptance, .out = r},
                 {.x = xk, .weight = key, .out = k},
                 {.x = xv, .weight = value, .out = v},
                 {.x = xg, .weight = gate, .out = g, .activation = Activation::silu},
                 {.x = xw, .weight = time_decay_w1, .out = w_low, .activation = Activation::tanh}});
    pass.matmul({{.x = w_low, .weight = time_decay_w2, .out = w, .bias = time_decay}});
    pass.kernels().rwkv6->decay(pass.device(), w);
    const Rows y = pass.rows(k.n_col);
    pass.kernels().rwkv6->wkv(pass.device(), pass.batch(), {n_head, r, k, v, w.data, w.n_col, time_faaaa, pass.s(kS), y});
    pass.kernels().common.head_norm(pass.device(), {y, n_head, ln_x.weight, ln_x.bias, head_norm_eps, g.data, y});
    pass.matmul({{.x = y, .weight = output, .out = pass.x, .add = true}});
  }
};

struct Block6 final : Block {
  TimeMix6 att;
  ChannelMix ffn;

  Block6(WeightLoader& load, const ModelConfig& c)
      : att(TimeMix6::load(load, c)), ffn(ChannelMix::load(load, c, "time_maa_", nullptr)) {}

  void run(Pass& pass) const override {
    att.run(pass);
    ffn.run(pass, kFfnX);
  }
};

ModelConfig read_config(const Checkpoint& file) {
  ModelConfig config = read_common_config(file, 6);
  set_heads(file, config, require_shape(file, "blocks.0.att.time_faaaa", 2, 2)[0]);
  return config;
}

}  // namespace

const Architecture kRwkv6{
    .version = 6,
    .matches = [](const Checkpoint& file) { return file.find("blocks.0.att.time_maa_x") != nullptr; },
    .read_config = read_config,
    .state_slots = matrix_state_slots,
    .carries_v_first = false,
    .runs_on = [](const KernelTable& kernels) { return kernels.rwkv6 != nullptr; },
    .load_block = [](WeightLoader& load, const ModelConfig& c, int) -> std::unique_ptr<Block> {
      return std::make_unique<Block6>(load, c);
    },
};

}  // namespace rwkv
