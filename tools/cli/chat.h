// SPDX-License-Identifier: Apache-2.0
// A conversation at the terminal or through a pipe: one line in, one answer out, one state carried on.
#pragma once
#include "cli/exit_codes.h"
#include "cli/options.h"

namespace rwkv::cli {

[[nodiscard]] ExitCode run_chat(const Options& options);

}  // namespace rwkv::cli
