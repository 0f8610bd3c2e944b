// SPDX-License-Identifier: Apache-2.0
// What rwkv-bench was asked to do.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rwkv::bench {

// So many of this length, read together.
struct Prompts {
  std::int64_t sequences, tokens;
};

struct Options {
  // What to measure. Neither: the bundled model.
  std::optional<std::filesystem::path> model;
  std::optional<std::string> synthetic;
  std::string strategy = "auto";
  int threads = 0;
  bool fp16_state = false;

  // Tokens and sequences; 0: left out.
  std::int64_t decode = 32;
  std::vector<Prompts> prefill = {{1, 64}, {1, 256}, {1, 512}};
  std::vector<std::int64_t> batch = {1, 4, 16};
  int repeat = 5;
  std::optional<std::int64_t> long_tokens;  // instead of all of these

  bool json = false;
  std::optional<std::filesystem::path> plot;
};

// Empty: --help or --version was answered. Throws UsageError.
[[nodiscard]] std::optional<Options> parse_options(int argc, const char* const* argv);

}  // namespace rwkv::bench
