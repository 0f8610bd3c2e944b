// SPDX-License-Identifier: Apache-2.0
// Drawing, by a Python script that reads the JSON.
#pragma once
#include <filesystem>
#include <string>

namespace rwkv::bench {

// Throws Error unless python3 has what drawing needs; before minutes of measuring.
void check_plotting();

// Throws Error when the script fails; it has said why.
void plot(const std::string& json, const std::filesystem::path& picture);

}  // namespace rwkv::bench
