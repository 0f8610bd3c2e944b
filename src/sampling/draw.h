// SPDX-License-Identifier: Apache-2.0
// Drawing the next tokens of many sequences where their logits lie.
#pragma once
#include <rwkv/sampler.h>

#include <span>

#include "arch/workspace.h"
#include "kernels/device.h"
#include "kernels/sample.h"

namespace rwkv {

// What forwards need of samplers beside sample().
struct SamplerAccess {
  static Random& random(Sampler& sampler) { return sampler.random_; }

  // Throws TokenError as Sampler::sample() does.
  static void check_tokens(const Sampler& sampler, std::size_t n_vocab);

  // Of tokens that are all different; bans in front.
  static std::vector<Penalty> penalties(const Sampler& sampler);
};

// A row of logits, whose sampler, and where the token goes: below 0 for logits that give none (NoToken).
struct RowToDraw {
  std::int64_t row;
  Sampler* sampler;
  Token* drawn;
};

// Draws by the device's kernel, else by the host, on all threads. logits: [R, n_vocab], on the device, overwritten. No two rows
// have the same sampler; their tokens are checked.
void draw(Device& device, Workspace& workspace, Rows logits, std::span<const RowToDraw> rows);

}  // namespace rwkv
