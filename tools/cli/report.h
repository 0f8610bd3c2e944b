// SPDX-License-Identifier: Apache-2.0
// What is said about a model or a generation: for people on stderr, for programs as one line of JSON.
#pragma once
#include <rwkv/rwkv.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/session.h"

namespace rwkv::cli {

struct Timings {
  std::int64_t prompt_tokens = 0;
  double prompt_seconds = 0;  // until the first text
  double generate_seconds = 0;
};

struct Report {
  const Session& session;
  const Generated& generated;
  const GenerateOptions& options;
  Timings timings;
  bool interrupted;
};

// "prompt: 12 tokens in 0.03 s (400 tok/s); text: ..."
[[nodiscard]] std::string speed_line(const Report& report);

// One object and a line end.
[[nodiscard]] std::string json_line(const Report& report);

// What --info prints: a table, or one line of JSON.
[[nodiscard]] std::string info_table(const std::filesystem::path& path, const CheckpointInfo& info);
[[nodiscard]] std::string info_json(const std::filesystem::path& path, const CheckpointInfo& info);

}  // namespace rwkv::cli
