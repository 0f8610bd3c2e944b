// SPDX-License-Identifier: Apache-2.0
// The loop of Pipeline::generate over any source of logits. Rules: docs/sampling.md.
#pragma once
#include <rwkv/pipeline.h>

#include <functional>
#include <span>

namespace rwkv {

// What the loop needs of a model and its state.
struct LogitSource {
  int n_vocab;
  // Feeds at least one token; `logits` is [n_vocab] after the last one, or empty when they are not needed.
  std::function<void(std::span<const Token> tokens, std::span<float> logits)> feed;
};

struct FedPrompt {
  std::int64_t tokens = 0;
  bool stopped = false;  // on_prompt said so
};

// Feeds `tokens` in chunks, checked before the first is fed. `logits` as in LogitSource, written with the last chunk.
FedPrompt feed_in_chunks(const LogitSource& source, std::span<const Token> tokens, const GenerateOptions& options,
                         std::span<float> logits);

// All options and tokens are checked before anything is fed.
[[nodiscard]] Generated generate_tokens(const LogitSource& source, const TokenizerPtr& tokenizer, std::span<const Token> prompt,
                                        const GenerateOptions& options);

}  // namespace rwkv
