// SPDX-License-Identifier: Apache-2.0
// Drawing tokens on a device. The rules are those of docs/sampling.md; src/sampling has them for the host.
#pragma once
#include <cstdint>
#include <limits>

#include "kernels/tensor.h"

namespace rwkv {

// Subtracted from the logit of a token before all else.
struct Penalty {
  static constexpr float kBan = std::numeric_limits<float>::infinity();  // the token is never drawn

  std::int32_t token;
  float penalty;
};

// One draw: from which logits, and how.
struct Draw {
  std::uint64_t random;        // uniform
  std::int32_t row;            // of the logits; no two draws have the same
  std::int32_t first_penalty;  // its penalties are these of Sample::penalties, each of another token
  std::int32_t n_penalty;      //
  std::int32_t top_k;          // 0: off
  float top_p;                 // 1: off, 0: greedy
  float min_p;                 // 0: off
  float temperature;           // 0: greedy
};

// tokens[i] = drawn as draws[i] says. Sums are exact to 2^-39 of the largest probability, where the host's are float32: a token
// at the edge of top_p can stay on one and go on the other.
struct Sample {
  Rows logits;               // [R, n_vocab], overwritten; n_vocab <= 2^24
  std::int64_t n_draw;       //
  const Draw* draws;         // [n_draw], on the device
  const Penalty* penalties;  // on the device
  std::int32_t* tokens;      // [n_draw], on the device; below 0: why there is none
};

// Why there is no token, the first that holds: kNan - 2 t, the logit of token t is NaN; kInfinity - 2 t, it is +infinity;
// kNoneLeft, all are -infinity.
struct NoToken {
  static constexpr std::int32_t kNoneLeft = -1, kNan = -2, kInfinity = -3;
};

}  // namespace rwkv
