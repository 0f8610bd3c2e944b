// SPDX-License-Identifier: Apache-2.0
// Softmax and the cuts (top-p, top-k, min-p) without sorting the vocabulary.
#pragma once
#include <rwkv/sampler.h>

#include <span>
#include <vector>

#include "kernels/sample.h"

namespace rwkv {

struct Candidate {
  Token token;
  float probability;  // of the softmax, before temperature; later the one it is drawn with
};

// For logits that give no token: a NoToken, and the error that says so.
[[nodiscard]] std::int32_t why_no_token(std::span<const float> logits);
[[nodiscard]] NumericError no_token(std::int32_t why, std::size_t n_vocab);

// The tokens that stay, in order of their ids, with the probabilities they are drawn with; at least one. `scratch` keeps its
// memory from call to call. Throws NumericError for NaN, +infinity or all -infinity.
[[nodiscard]] std::vector<Candidate> candidates(std::span<const float> logits, const SamplingOptions& options,
                                                std::vector<float>& scratch);

// e^x for x <= 0 or -infinity, the same on every platform. Within 2 units in the last place for normal results.
[[nodiscard]] float exp_negative(float x) noexcept;

}  // namespace rwkv
