// SPDX-License-Identifier: Apache-2.0
// The text that models are measured with, and how they draw.
#pragma once
#include <rwkv/model.h>
#include <rwkv/sampler.h>

#include <cstdint>
#include <vector>

namespace rwkv::bench {

// A token for every position, the same in every run; spread over the vocabulary so that embeddings come from memory.
[[nodiscard]] inline Token token_at(std::int64_t position, int n_vocab) {
  return static_cast<Token>(static_cast<std::uint64_t>(position + 1) * 0x9e3779b97f4a7c15u %
                            static_cast<std::uint64_t>(n_vocab));
}

// Takes the likeliest token: the choice that costs least beside the model.
[[nodiscard]] inline Sampler greedy_sampler() { return Sampler({.temperature = 0}); }

// An endless text.
class Text {
 public:
  // Of random weights any text is as good as another.
  [[nodiscard]] static Text spread(const Model& model) { return Text({}, model.config().n_vocab); }

  // What a trained model says, over and over: its squared ReLU has as many zeros as in use only where the text makes sense to
  // it.
  [[nodiscard]] static Text of(const Model& model);

  [[nodiscard]] Token at(std::int64_t position) const {
    return said_.empty() ? token_at(position, n_vocab_) : said_[position % said_.size()];
  }

 private:
  Text(std::vector<Token> said, int n_vocab) : said_(std::move(said)), n_vocab_(n_vocab) {}

  std::vector<Token> said_;
  int n_vocab_;
};

}  // namespace rwkv::bench
