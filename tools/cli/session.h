// SPDX-License-Identifier: Apache-2.0
// A loaded model with its tokenizer, and what its options make of a generation.
#pragma once
#include <rwkv/rwkv.h>

#include <filesystem>
#include <functional>

#include "cli/options.h"

namespace rwkv::cli {

// The file to load: the one of `-m`, else the bundled one, which stderr is told.
[[nodiscard]] std::filesystem::path model_path(const Options& options);

struct Session {
  std::filesystem::path path;
  Pipeline pipeline;
  double load_seconds;
};

// Loads with a progress bar; throws Interrupted on Ctrl-C.
[[nodiscard]] Session load_session(const Options& options);

// The state of --state-in, else that of an empty text.
[[nodiscard]] State first_state(const Session& session, const Options& options);

// Everything but the callbacks. `default_max_tokens` is for a command line without -n.
[[nodiscard]] GenerateOptions generate_options(const Options& options, int default_max_tokens);

// Feeds what the model wrote but has not read, and `then`, so that `state` has read `start`, `prompt`, the text in front of a
// stop string, and `then`, with the tokens that were generated wherever possible. `start`: the state that generate() was given.
void settle(const Pipeline& pipeline, State& state, const State& start, std::string_view prompt, const Generated& generated,
            const GenerateOptions& options, std::string_view then);

}  // namespace rwkv::cli
