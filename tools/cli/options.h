// SPDX-License-Identifier: Apache-2.0
// What rwkv-generate was asked to do.
#pragma once
#include <rwkv/rwkv.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rwkv::cli {

struct Options {
  // What to load. No model: the bundled one.
  std::optional<std::filesystem::path> model, tokenizer;
  std::string strategy = "auto";
  int threads = 0;
  std::optional<float> head_norm_eps;
  bool fp16_state = false;

  // What to continue. Neither: stdin, when it is a pipe or a file. The file "-" is stdin too.
  std::optional<std::string> prompt, file;
  std::optional<std::filesystem::path> state_in, state_out;

  // How. No max_tokens: the default of the mode; -1: until the text ends.
  std::optional<int> max_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  SamplingOptions sampling;
  int chunk_len = 256;

  bool chat = false, info = false, list_devices = false, json = false, raw = false, verbose = false, display_prompt = false;
};

// Empty: --help or --version was answered. Throws UsageError, ArgumentError.
[[nodiscard]] std::optional<Options> parse_options(int argc, const char* const* argv);

// `\n \t \r \0 \\ \' \" \xHH` as in C; anything else stays as it is.
[[nodiscard]] std::string unescaped(std::string_view text);

}  // namespace rwkv::cli
