// SPDX-License-Identifier: Apache-2.0
// Channel mixing (spec 2.1, 2.3, 2.4): the feed-forward half of a block, the same for all versions but for the gate.
#pragma once
#include "arch/architecture.h"
#include "arch/pass.h"

namespace rwkv {

// Versions 4 and 5 store a token-shift parameter as the share of the current token, our kernels take that of the one before.
inline float share_of_previous(float share_of_current) { return 1.0f - share_of_current; }

[[nodiscard]] Norm load_norm(WeightLoader& load, const std::string& name, std::int64_t n);

struct ChannelMix {
  Norm ln2;
  const float* x_k;   // [C]
  const float* x_r;   // [C]; null in version 7
  Matrix key;         // [F, C]
  Matrix value;       // [C, F], input-major: most of a squared ReLU is 0
  Matrix receptance;  // [C, C]; empty in version 7

  // mix: the name of the token-shift parameters without their last letter: "time_mix_", "time_maa_", "x_".
  static ChannelMix load(WeightLoader& load, const ModelConfig& c, const std::string& mix, float (*change)(float));

  void run(Pass& pass, int last_x_slot) const;
};

}  // namespace rwkv
