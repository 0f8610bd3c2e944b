// SPDX-License-Identifier: Apache-2.0
// The demo model that comes with the programs.
#pragma once
#include <filesystem>

namespace rwkv::cli {

// Beside the program's installation (which may have been moved), in the source tree, or where it was to be installed.
// Throws UsageError when it is in none of these places.
[[nodiscard]] std::filesystem::path bundled_model();

}  // namespace rwkv::cli
