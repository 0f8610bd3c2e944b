// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include "cli/bundled_model.h"
#include "cli/exit_codes.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "message.h"

#include <chrono>
#include <cstdio>
#include <limits>
#include <random>

namespace rwkv::cli {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Model load_model(const std::filesystem::path& path, const Options& options) {
  Progress progress("loading");
  LoadOptions load;
  load.threads = options.threads;
  load.head_norm_eps = options.head_norm_eps;
  load.fp16_state = options.fp16_state;
  load.progress = [&](std::int64_t done, std::int64_t total) {
    if (interrupted()) throw Interrupted();
    progress.update(done, total);
  };
  return Model(path, options.strategy, load);
}

void describe(const Model& model, double seconds) {
  const ModelConfig& c = model.config();
  std::fprintf(stderr, "RWKV-%d, %d layers, width %d, vocabulary %d, %.0f MiB of weights, loaded in %.2f s\n%s\n", c.version,
               c.n_layer, c.n_embd, c.n_vocab, double(model.weight_bytes()) / (1 << 20), seconds, model.placement().c_str());
}

// 32 bits: easy to give back with -s, and exact in every JSON reader.
std::uint64_t new_seed() { return std::random_device()(); }

// The text in front of the first stop string.
std::string_view kept(std::string_view text, const std::vector<std::string>& stops) {
  std::size_t end = text.size();
  for (const auto& stop : stops) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

}  // namespace

std::filesystem::path model_path(const Options& options) {
  if (options.model) return *options.model;
  const auto path = bundled_model();
  std::fprintf(stderr, "no -m: using the bundled demo model, %s\n", path.c_str());
  return path;
}

Session load_session(const Options& options) {
  const auto path = model_path(options);
  const auto start = std::chrono::steady_clock::now();
  const Model model = load_model(path, options);
  Session session{path, Pipeline(model, find_tokenizer(path, model.config().n_vocab, options.tokenizer)), seconds_since(start)};
  if (options.verbose) describe(model, session.load_seconds);
  return session;
}

State first_state(const Session& session, const Options& options) {
  const Model& model = session.pipeline.model();
  return options.state_in ? State::load(*options.state_in, model) : model.new_state();
}

GenerateOptions generate_options(const Options& options, int default_max_tokens) {
  GenerateOptions generate;
  const int max_tokens = options.max_tokens.value_or(default_max_tokens);
  generate.max_tokens = max_tokens < 0 ? std::numeric_limits<int>::max() : max_tokens;
  generate.sampling = options.sampling;
  if (!generate.sampling.seed) generate.sampling.seed = new_seed();
  if (!options.ignore_eos) generate.token_stop = {0};
  generate.stop = options.stop;
  generate.chunk_len = options.chunk_len;
  return generate;
}

void settle(const Pipeline& pipeline, State& state, const State& start, std::string_view prompt, const Generated& generated,
            const GenerateOptions& options, std::string_view then) {
  const auto& tokens = generated.tokens;
  const std::string all = pipeline.tokenizer().decode(tokens);
  const std::string wanted = std::string(generated.reason == StopReason::string ? kept(all, options.stop) : all).append(then);
  const auto fed = std::size_t(state.tokens_seen() - start.tokens_seen() - generated.prompt_tokens);
  const std::string read = pipeline.tokenizer().decode(std::span(tokens).first(std::min(fed, tokens.size())));
  if (fed > tokens.size() || !wanted.starts_with(read)) {  // it has read a part of the stop string
    state = start;
    GenerateOptions quiet;
    quiet.chunk_len = options.chunk_len;
    (void)pipeline.read(std::string(prompt) + wanted, state, quiet);
    return;
  }
  std::vector<Token> rest;
  std::string_view text = std::string_view(wanted).substr(read.size());
  if (generated.reason != StopReason::string) {
    rest.assign(tokens.begin() + std::ptrdiff_t(fed), tokens.end());
    text.remove_prefix(all.size() - read.size());
  }
  const auto more = pipeline.tokenizer().encode(text);
  rest.insert(rest.end(), more.begin(), more.end());
  if (!rest.empty()) pipeline.model().forward(rest, state, {});
}

}  // namespace rwkv::cli
