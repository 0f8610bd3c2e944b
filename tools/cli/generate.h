// SPDX-License-Identifier: Apache-2.0
// One prompt, one text.
#pragma once
#include "cli/exit_codes.h"
#include "cli/options.h"

namespace rwkv::cli {

[[nodiscard]] ExitCode run_generate(const Options& options);

}  // namespace rwkv::cli
