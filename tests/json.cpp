// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include "test_data.h"

template class nlohmann::basic_json<>;

namespace rwkv::test {

nlohmann::json read_json(const std::filesystem::path& path) { return nlohmann::json::parse(read_file(path)); }

}  // namespace rwkv::test
