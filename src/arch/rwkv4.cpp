// SPDX-License-Identifier: Apache-2.0
// RWKV-4 (spec 2.1; arXiv 2305.13048). A = n_att, usually C.
#include <cmath>

#include "arch/architecture.h"
#include "arch/channel_mix.h"
#include "arch/pass.h"

namespace rwkv {
namespace {

enum StateSlot { kAttX, kAa, kBb, kPp, kFfnX };

struct TimeMix4 {
  Norm ln1;
  const float *time_mix_k, *time_mix_v, *time_mix_r;  // [C]
  const float* decay;                                 // [A], -exp(time_decay)
  const float* time_first;                            // [A]
  Matrix key, value, receptance;                      // [A, C]
  Matrix output;                                      // [C, A]

  static TimeMix4 load(WeightLoader& load, const ModelConfig& c) {
    const auto mix = [&](const char* name) { return load.vector(name, {c.n_embd}, share_of_previous); };
    return {.ln1 = load_norm(load, "ln1", c.n_embd),
            .time_mix_k = mix("att.time_mix_k"),
            .time_mix_v = mix("att.time_mix_v"),
            .time_mix_r = mix("att.time_mix_r"),
            .decay = load.vector("att.time_decay", {c.n_att}, [](float d) { return -std::exp(d); }),
            .time_first = load.vector("att.time_first", {c.n_att}),
            .key = load.matrix("att.key.weight", c.n_att, c.n_embd),
            .value = load.matrix("att.value.weight", c.n_att, c.n_embd),
            .receptance = load.matrix("att.receptance.weight", c.n_att, c.n_embd),
            .output = load.matrix("att.output.weight", c.n_embd, c.n_att)};
  }

  void run(Pass& pass) const {
    const auto [xk, xv, xr] = pass.norm_shift(ln1, kAttX, {time_mix_k, time_mix_v, time_mix_r});
    const Rows k = pass.rows(key.n_out), v = pass.rows(value.n_out), r = pass.rows(receptance.n_out);
    pass.matmul({{.x = xk, .weight = key, .out = k},
                 {.x = xv, .weight = value, .out = v},
                 {.x = xr, .weight = receptance, .out = r, .activation = Activation::sigmoid}});
    pass.kernels().rwkv4->wkv(pass.device(), pass.batch(),
                              {r, k, v, decay, time_first, pass.slot(kAa), pass.slot(kBb), pass.slot(kPp), r});
    pass.matmul({{.x = r, .weight = output, .out = pass.x, .add = true}});
  }
};

struct Block4 final : Block {
  TimeMix4 att;
  ChannelMix ffn;

  Block4(WeightLoader& load, const ModelConfig& c)
      : att(TimeMix4::load(load, c)), ffn(ChannelMix::load(load, c, "time_mix_", share_of_previous)) {}

  void run(Pass& pass) const override {
    att.run(pass);
    ffn.run(pass, kFfnX);
  }
};

// pp, a running maximum of logarithms, starts at a finite -1e30: differences of it must not become NaN.
std::vector<Slot> state_slots(const ModelConfig& c) {
  return {{"att_x", {c.n_embd}}, {"aa", {c.n_att}}, {"bb", {c.n_att}}, {"pp", {c.n_att}, -1e30f}, {"ffn_x", {c.n_embd}}};
}

}  // namespace

const Architecture kRwkv4{
    .version = 4,
    .matches =
        [](const Checkpoint& file) { return file.find("blocks.0.att.key.weight") && !file.find("blocks.0.att.ln_x.weight"); },
    .read_config = [](const Checkpoint& file) { return read_common_config(file, 4); },
    .state_slots = state_slots,
    .carries_v_first = false,
    .runs_on = [](const KernelTable& kernels) { return kernels.rwkv4 != nullptr; },
    .load_block = [](WeightLoader& load, const ModelConfig& c, int) -> std::unique_ptr<Block> {
      return std::make_unique<Block4>(load, c);
    },
};

}  // namespace rwkv
