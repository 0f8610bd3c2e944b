// SPDX-License-Identifier: Apache-2.0
#include "bench/text.h"

namespace rwkv::bench {
namespace {

constexpr std::size_t kSaid = 64;  // tokens; sampling them takes as long as two decode samples
constexpr std::uint64_t kSeed = 1;

}  // namespace

// Begins with token 0, which ends a document in the texts that models are trained with.
Text Text::of(const Model& model) {
  Sampler sampler({.seed = kSeed});
  State state = model.new_state();
  std::vector<float> logits(model.config().n_vocab);
  std::vector<Token> said = {0};
  while (said.size() < kSaid) {
    model.forward({&said.back(), 1}, state, logits);
    said.push_back(sampler.sample(logits));
    sampler.accept(said.back(), true);
  }
  return {std::move(said), model.config().n_vocab};
}

}  // namespace rwkv::bench
