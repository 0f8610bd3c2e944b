// SPDX-License-Identifier: Apache-2.0
// JSON for tests. Its templates take seconds to compile: json.cpp does it for all.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>

extern template class nlohmann::basic_json<>;

namespace rwkv::test {

nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace rwkv::test
