// SPDX-License-Identifier: Apache-2.0
// Text in, text out: a model, its tokenizer and a sampler.
#pragma once
#include <rwkv/model.h>
#include <rwkv/sampler.h>
#include <rwkv/tokenizer.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rwkv {

struct GenerateOptions {
  int max_tokens = 100;  // 0: reads the prompt only
  SamplingOptions sampling = {};
  std::vector<Token> token_stop =
      {};  // end the text; not output, not fed to the model. Often {0}, the end of a text in training
  std::vector<std::string> stop = {};  // UTF-8; the text ends in front of the first of these that is complete
  int chunk_len = 256;                 // tokens of a prompt fed at once; bounds memory, does not change the result

  // Called with every piece of text as soon as it is certain: valid UTF-8, held back only while a character is incomplete or
  // the text may be the beginning of a stop string. Return false to stop after it.
  std::function<bool(std::string_view piece)> on_text = {};
  // Called with every generated token, before its text: tokens without text come here too. Return false to stop after it.
  std::function<bool(Token token)> on_token = {};
  // Called after each chunk of a prompt. Return false to stop.
  std::function<bool(std::int64_t done, std::int64_t total)> on_prompt = {};
  Poll poll = {};  // as in Model::forward; also called before every token and chunk
};

enum class StopReason { max_tokens, token, string, callback };

struct Generated {
  std::string text;           // all pieces: valid UTF-8, where bytes that are not became U+FFFD
  std::vector<Token> tokens;  // generated, without the stop token, with those of the stop string; decode() gives their bytes
  std::int64_t prompt_tokens = 0;  // fed; all of the prompt unless on_prompt stopped
  std::int64_t fed_tokens = 0;     // how many of `tokens` the state has seen: feed it the others to go on from exactly here
  StopReason reason = StopReason::max_tokens;
  std::string stop;  // the stop string that was met
};

// A text being generated, for callers who ask for each token instead of being called.
class Generation {
 public:
  ~Generation();
  Generation(Generation&&) noexcept;
  Generation& operator=(Generation&&) noexcept;

  // Draws one more token, after feeding the one before, or at first the prompt. False when the text has ended; an exception
  // ends it too.
  bool step();

  // What there is so far: `text` holds what is certain; `reason` and `stop` are set at the end.
  [[nodiscard]] const Generated& result() const noexcept;

 private:
  friend class Pipeline;
  explicit Generation(std::unique_ptr<class GenerateLoop> loop);
  std::unique_ptr<class GenerateLoop> loop_;
};

class Pipeline {
 public:
  // Throws ArgumentError without a tokenizer.
  Pipeline(Model model, TokenizerPtr tokenizer);

  // Continues `prompt` from `state`, which is advanced by the prompt and by every generated token but the last (as in the
  // `rwkv` package, whose rules this follows: docs/sampling.md). Options and prompt are checked before the state is touched:
  // ArgumentError (also for an empty prompt), TokenError. An exception from a callback, or NumericError for broken logits,
  // leaves the state behind the last token that was fed.
  Generated generate(std::string_view prompt, State& state, const GenerateOptions& options = {}) const;

  // The same, step by step. `state` must outlive it. Options and prompt are checked here, the state is first touched by step().
  [[nodiscard]] Generation start(std::string_view prompt, State& state, const GenerateOptions& options = {}) const;

  // Feeds text without generating; of the options only chunk_len, on_prompt and poll matter. Returns the logits after it,
  // [n_vocab]; empty if on_prompt stopped before the end.
  std::vector<float> read(std::string_view text, State& state, const GenerateOptions& options = {}) const;

  [[nodiscard]] const Model& model() const noexcept { return model_; }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return *tokenizer_; }

 private:
  Model model_;
  TokenizerPtr tokenizer_;
};

// The `rwkv` package's clean-up of a prompt: lines trimmed of Unicode white space, empty ones dropped, "\n" in front.
[[nodiscard]] std::string refine_context(std::string_view text);

}  // namespace rwkv
