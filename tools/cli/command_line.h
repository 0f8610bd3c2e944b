// SPDX-License-Identifier: Apache-2.0
// Parsing by CLI11, with our words for mistakes.
#pragma once
#include <CLI/CLI.hpp>

namespace rwkv::cli {

// Adds --help and --version. False: one of them was asked for and has been printed. Throws UsageError; for an unknown option it
// names the nearest one.
[[nodiscard]] bool parse_command_line(CLI::App& app, int argc, const char* const* argv);

}  // namespace rwkv::cli
