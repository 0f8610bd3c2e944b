// SPDX-License-Identifier: Apache-2.0
// The text that models are measured with.
#pragma once
#include <rwkv/model.h>

#include <cstdint>

namespace rwkv::bench {

// A token for every position, the same in every run; spread over the vocabulary so that embeddings come from memory.
[[nodiscard]] inline Token token_at(std::int64_t position, int n_vocab) {
  return static_cast<Token>(static_cast<std::uint64_t>(position + 1) * 0x9e3779b97f4a7c15u %
                            static_cast<std::uint64_t>(n_vocab));
}

}  // namespace rwkv::bench
