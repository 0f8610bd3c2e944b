// SPDX-License-Identifier: Apache-2.0
// Feeds the prompt, then samples, outputs and feeds back one token after the other. All that changes outside is the fed state,
// and that between tokens only, so an exception from a callback or the sampler leaves it at a token boundary.
#include "generate_loop.h"

#include <algorithm>

#include "message.h"
#include "stop_strings.h"

namespace rwkv {
namespace {

void require_in_vocabulary(std::span<const Token> tokens, int n_vocab, const char* what) {
  for (const Token token : tokens) {
    if (token < 0 || token >= n_vocab)
      throw TokenError(message(what, " ", token, " is outside the vocabulary of ", n_vocab, " tokens"));
  }
}

void check_feeding(std::span<const Token> tokens, int n_vocab, const GenerateOptions& options) {
  if (tokens.empty()) throw ArgumentError("the prompt is empty; give at least one token");
  if (options.chunk_len < 1) throw ArgumentError(message("chunk_len is ", options.chunk_len, "; it must be at least 1"));
  require_in_vocabulary(tokens, n_vocab, "prompt token");
}

// Blanks and digits do not add to the frequency penalty. "Substring" is meant literally: "12" and " \t" count as such, "21"
// does not.
bool adds_to_frequency(const Tokenizer& tokenizer, Token token) {
  const std::string_view bytes = tokenizer.bytes(token);
  // The reference decodes such ids to U+FFFD with World (which counts) and to "" with BPE (a substring, which does not).
  if (bytes.empty()) return tokenizer.kind() != "bpe";
  return std::string_view(" \t0123456789").find(bytes) == std::string_view::npos;
}

// Tokens to text: whole characters, in front of the first stop string.
class TextOutput {
 public:
  TextOutput(const TokenizerPtr& tokenizer, const GenerateOptions& options)
      : decoder_(tokenizer), stops_(options.stop), on_text_(options.on_text) {}

  // False if the callback says stop.
  bool push(Token token) { return emit(stops_.push(decoder_.push(token))); }

  void finish() {
    std::string rest = stops_.push(decoder_.flush());
    if (met_stop().empty()) rest += stops_.flush();
    (void)emit(rest);
  }

  [[nodiscard]] const std::string& met_stop() const { return stops_.met(); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  bool emit(std::string_view piece) {
    if (piece.empty()) return true;
    text_ += piece;
    return !on_text_ || on_text_(piece);
  }

  StreamDecoder decoder_;
  StopStrings stops_;
  const std::function<bool(std::string_view)>& on_text_;
  std::string text_;
};

bool contains(const std::vector<Token>& tokens, Token token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

// Generates from the logits after the prompt until something ends it; returns what did. Fills in tokens and fed_tokens.
StopReason continue_text(const LogitSource& source, const Tokenizer& tokenizer, const GenerateOptions& options,
                         std::span<float> logits, Sampler& sampler, TextOutput& output, Generated& result) {
  while (true) {
    const Token token = sampler.sample(logits);
    if (contains(options.token_stop, token)) return StopReason::token;
    result.tokens.push_back(token);
    sampler.accept(token, adds_to_frequency(tokenizer, token));
    bool go_on = !options.on_token || options.on_token(token);
    go_on = output.push(token) && go_on;
    if (!output.met_stop().empty()) return StopReason::string;
    if (!go_on) return StopReason::callback;
    if (std::ssize(result.tokens) == options.max_tokens) return StopReason::max_tokens;
    source.feed({&token, 1}, logits);
    ++result.fed_tokens;
  }
}

}  // namespace

FedPrompt feed_in_chunks(const LogitSource& source, std::span<const Token> tokens, const GenerateOptions& options,
                         std::span<float> logits) {
  check_feeding(tokens, source.n_vocab, options);
  const std::int64_t total = std::ssize(tokens);
  FedPrompt fed;
  while (fed.tokens < total && !fed.stopped) {
    const std::int64_t size = std::min<std::int64_t>(options.chunk_len, total - fed.tokens);
    const auto chunk = tokens.subspan(static_cast<std::size_t>(fed.tokens), static_cast<std::size_t>(size));
    source.feed(chunk, fed.tokens + size == total ? logits : std::span<float>());
    fed.tokens += size;
    fed.stopped = options.on_prompt && !options.on_prompt(fed.tokens, total);
  }
  return fed;
}

Generated generate_tokens(const LogitSource& source, const TokenizerPtr& tokenizer, std::span<const Token> prompt,
                          const GenerateOptions& options) {
  if (options.max_tokens < 0) throw ArgumentError(message("max_tokens is ", options.max_tokens, "; it must be 0 or more"));
  check_feeding(prompt, source.n_vocab, options);
  require_in_vocabulary(options.token_stop, source.n_vocab, "stop token");
  require_in_vocabulary(options.sampling.token_ban, source.n_vocab, "banned token");
  Sampler sampler(options.sampling);
  TextOutput output(tokenizer, options);

  Generated result;
  std::vector<float> logits(options.max_tokens > 0 ? static_cast<std::size_t>(source.n_vocab) : 0);
  const FedPrompt fed = feed_in_chunks(source, prompt, options, logits);
  result.prompt_tokens = fed.tokens;
  if (fed.stopped) {
    result.reason = StopReason::callback;
  } else if (options.max_tokens > 0) {
    result.reason = continue_text(source, *tokenizer, options, logits, sampler, output, result);
    if (result.reason == StopReason::max_tokens || result.reason == StopReason::token) output.finish();
  }
  result.stop = output.met_stop();
  result.text = output.text();
  return result;
}

}  // namespace rwkv
