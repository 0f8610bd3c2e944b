// SPDX-License-Identifier: Apache-2.0
#include "generate_loop.h"

#include <algorithm>
#include <utility>

#include "message.h"

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

bool contains(const std::vector<Token>& tokens, Token token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

FedPrompt feed_in_chunks(const LogitSource& source, std::span<const Token> tokens, const GenerateOptions& options,
                         const std::function<void(std::span<const Token>)>& feed_last) {
  check_feeding(tokens, source.n_vocab, options);
  const std::int64_t total = std::ssize(tokens);
  FedPrompt fed;
  while (fed.tokens < total && !fed.stopped) {
    if (options.poll) options.poll();
    const std::int64_t size = std::min<std::int64_t>(options.chunk_len, total - fed.tokens);
    const auto chunk = tokens.subspan(static_cast<std::size_t>(fed.tokens), static_cast<std::size_t>(size));
    if (fed.tokens + size < total) {
      source.feed(chunk, {});
    } else {
      feed_last(chunk);
    }
    fed.tokens += size;
    fed.stopped = options.on_prompt && !options.on_prompt(fed.tokens, total);
  }
  return fed;
}

GenerateLoop::GenerateLoop(LogitSource source, TokenizerPtr tokenizer, std::vector<Token> prompt, GenerateOptions options)
    : source_(std::move(source)),
      tokenizer_(std::move(tokenizer)),
      prompt_(std::move(prompt)),
      options_(std::move(options)),
      sampler_(options_.sampling),
      decoder_(tokenizer_),
      stops_(options_.stop) {
  if (options_.max_tokens < 0) throw ArgumentError(message("max_tokens is ", options_.max_tokens, "; it must be 0 or more"));
  check_feeding(prompt_, source_.n_vocab, options_);
  require_in_vocabulary(options_.token_stop, source_.n_vocab, "stop token");
  require_in_vocabulary(options_.sampling.token_ban, source_.n_vocab, "banned token");
  if (options_.max_tokens > 0 && !source_.draw) logits_.resize(static_cast<std::size_t>(source_.n_vocab));
}

void GenerateLoop::feed_and_draw(std::span<const Token> tokens) {
  if (!source_.draw || options_.max_tokens == 0) source_.feed(tokens, logits_);
  if (options_.max_tokens == 0) return;
  try {
    drawn_ = source_.draw ? source_.draw(tokens, sampler_) : sampler_.sample(logits_);
  } catch (const NumericError&) {
    broken_logits_ = std::current_exception();
  }
}

// False when there is nothing to draw after it.
bool GenerateLoop::read_prompt() {
  const FedPrompt fed = feed_in_chunks(source_, prompt_, options_, [this](auto tokens) { feed_and_draw(tokens); });
  result_.prompt_tokens = fed.tokens;
  prompt_read_ = true;
  if (fed.stopped) return end(StopReason::callback);
  return options_.max_tokens > 0 || end(StopReason::max_tokens);
}

bool GenerateLoop::step() {
  if (!std::exchange(going_on_, false)) return false;  // an exception ends it
  if (!prompt_read_) {
    if (!read_prompt()) return false;
  } else {
    if (options_.poll) options_.poll();
    feed_and_draw({&result_.tokens.back(), 1});
    ++result_.fed_tokens;
  }
  if (broken_logits_) std::rethrow_exception(broken_logits_);
  const Token token = drawn_;
  if (contains(options_.token_stop, token)) return end(StopReason::token);
  result_.tokens.push_back(token);
  sampler_.accept(token, adds_to_frequency(*tokenizer_, token));
  bool go_on = !options_.on_token || options_.on_token(token);
  go_on = output_text(stops_.push(decoder_.push(token))) && go_on;
  if (!stops_.met().empty()) return end(StopReason::string);
  if (!go_on) return end(StopReason::callback);
  if (std::ssize(result_.tokens) == options_.max_tokens) return end(StopReason::max_tokens);
  return going_on_ = true;
}

// Text held back for a stop string that did not come belongs to the text.
bool GenerateLoop::end(StopReason reason) {
  result_.reason = reason;
  result_.stop = stops_.met();
  if (reason != StopReason::max_tokens && reason != StopReason::token) return false;
  std::string rest = stops_.push(decoder_.flush());
  result_.stop = stops_.met();
  if (result_.stop.empty()) rest += stops_.flush();
  (void)output_text(rest);
  return false;
}

// False if the callback says stop.
bool GenerateLoop::output_text(const std::string& piece) {
  if (piece.empty()) return true;
  result_.text += piece;
  return !options_.on_text || options_.on_text(piece);
}

}  // namespace rwkv
