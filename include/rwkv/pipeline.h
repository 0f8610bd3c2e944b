// SPDX-License-Identifier: Apache-2.0
// Text in, text out: a model, its tokenizer and a sampler.
#pragma once
#include <rwkv/model.h>
#include <rwkv/sampler.h>
#include <rwkv/tokenizer.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rwkv {

struct GenerateOptions {
  int max_tokens = 100;
  SamplingOptions sampling;
  std::vector<Token> token_stop;   // ends the text; not output and not fed to the model
  std::vector<std::string> stop;   // ends the text in front of the first of these strings; not output
  int chunk_len = 256;             // tokens of a prompt fed at once; bounds memory, does not change the result

  // Called with every piece of text as soon as it is certain (valid UTF-8). Return false to stop after it.
  std::function<bool(std::string_view piece)> on_text;
  // Called between chunks of a long prompt. Return false to stop.
  std::function<bool(std::int64_t done, std::int64_t total)> on_prompt;
};

enum class StopReason { max_tokens, token, string, callback };

struct Generated {
  std::string text;
  std::vector<Token> tokens;        // generated, without the stop token
  std::int64_t prompt_tokens = 0;
  StopReason reason = StopReason::max_tokens;
};

class Pipeline {
 public:
  Pipeline(Model model, TokenizerPtr tokenizer);

  // Continues `prompt` from `state`, which is advanced by the prompt and by every generated token but the last (as in the
  // `rwkv` package, whose rules this follows: docs/sampling.md). Throws ArgumentError for an empty prompt.
  Generated generate(std::string_view prompt, State& state, const GenerateOptions& options = {}) const;

  // Feeds text without generating; returns the logits after it, [n_vocab].
  std::vector<float> read(std::string_view text, State& state, const GenerateOptions& options = {}) const;

  [[nodiscard]] const Model& model() const noexcept { return model_; }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return *tokenizer_; }

 private:
  Model model_;
  TokenizerPtr tokenizer_;
};

// The `rwkv` package's clean-up of a prompt: lines trimmed of blanks and U+3000, empty ones dropped, "\n" in front.
[[nodiscard]] std::string refine_context(std::string_view text);

}  // namespace rwkv
