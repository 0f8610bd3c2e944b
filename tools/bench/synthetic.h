// SPDX-License-Identifier: Apache-2.0
// Checkpoints that are names, shapes and a hash: models of published sizes to measure with, without a file.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace rwkv::bench {

struct SyntheticShape {
  std::string name;  // "v7-0.1b"
  int version;       // 4, 6 or 7
  int n_layer, n_embd, n_ffn, n_vocab;
  // Version 6: of the token shift and of the decay. Version 7: of w and a, of v, of g.
  struct Ranks {
    int shift = 0, decay = 0, w = 0, v = 0, g = 0;
  } ranks;
};

// "v4-169m", ...: the shapes that make_synthetic(name) knows.
[[nodiscard]] std::vector<std::string> synthetic_names();

// The shape of that name. Throws ArgumentError.
[[nodiscard]] const SyntheticShape& synthetic_shape(std::string_view name);

// bfloat16 values, the same in every run. Activations stay finite for any number of tokens, and about half of the inputs of the
// squared ReLU are negative: nothing is sparser than in an untrained model.
[[nodiscard]] std::unique_ptr<Checkpoint> make_synthetic(const SyntheticShape& shape);

}  // namespace rwkv::bench
