// SPDX-License-Identifier: Apache-2.0
// Binds the generation loop to a model and a state.
#include <rwkv/pipeline.h>

#include <algorithm>
#include <array>
#include <utility>

#include "generate_loop.h"

namespace rwkv {
namespace {

LogitSource logits_of(const Model& model, State& state, const Poll& poll) {
  return {model.config().n_vocab,
          [model, &state, poll](std::span<const Token> tokens, std::span<float> logits) {
            model.forward(tokens, state, logits, poll);
          },
          [model, &state, poll](std::span<const Token> tokens, Sampler& sampler) {
            Token drawn = 0;
            const Sequence sequence{.tokens = tokens, .state = &state, .sampler = &sampler, .drawn = &drawn};
            model.forward({&sequence, 1}, poll);
            return drawn;
          }};
}

// Characters that Python's str.strip() removes.
constexpr std::array<std::string_view, 29> kWhiteSpace = {
    "\t",           "\n",           "\v",           "\f",           "\r",
    "\x1c",         "\x1d",         "\x1e",         "\x1f",         " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

std::string_view trim(std::string_view line) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view space : kWhiteSpace) {
      if (line.starts_with(space)) {
        line.remove_prefix(space.size());
        again = true;
      }
      if (line.ends_with(space)) {
        line.remove_suffix(space.size());
        again = true;
      }
    }
  }
  return line;
}

}  // namespace

Pipeline::Pipeline(Model model, TokenizerPtr tokenizer) : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {
  if (!tokenizer_) throw ArgumentError("a pipeline needs a tokenizer; see find_tokenizer()");
}

Generation::Generation(std::unique_ptr<GenerateLoop> loop) : loop_(std::move(loop)) {}
Generation::~Generation() = default;
Generation::Generation(Generation&&) noexcept = default;
Generation& Generation::operator=(Generation&&) noexcept = default;
bool Generation::step() { return loop_->step(); }
const Generated& Generation::result() const noexcept { return loop_->result(); }

Generation Pipeline::start(std::string_view prompt, State& state, const GenerateOptions& options) const {
  return Generation(
      std::make_unique<GenerateLoop>(logits_of(model_, state, options.poll), tokenizer_, tokenizer_->encode(prompt), options));
}

Generated Pipeline::generate(std::string_view prompt, State& state, const GenerateOptions& options) const {
  Generation generation = start(prompt, state, options);
  while (generation.step()) {
  }
  return generation.result();
}

std::vector<float> Pipeline::read(std::string_view text, State& state, const GenerateOptions& options) const {
  const std::vector<Token> tokens = tokenizer_->encode(text);
  std::vector<float> logits(static_cast<std::size_t>(model_.config().n_vocab));
  const LogitSource source = logits_of(model_, state, options.poll);
  const FedPrompt fed = feed_in_chunks(source, tokens, options, [&](auto last) { source.feed(last, logits); });
  if (fed.tokens < std::ssize(tokens)) logits.clear();
  return logits;
}

// Python trims each line of white space, then of U+3000, then of "\r": all three are white space, so once is enough.
std::string refine_context(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    if (!line.empty()) out.append("\n").append(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out.empty() ? "\n" : out;
}

}  // namespace rwkv
