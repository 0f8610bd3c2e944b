// SPDX-License-Identifier: Apache-2.0
// The only names of Python objects that a pickle may contain, all of them inert here.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace rwkv::pickle {

enum class GlobalKind : std::uint8_t { ordered_dict, tensor_v2, tensor_v1, parameter, storage, dtype };

struct Global {
  GlobalKind kind;
  FileType type = FileType::u8;  // of a storage or dtype
};

// Nothing for any other object.
[[nodiscard]] std::optional<Global> find_global(std::string_view module, std::string_view name);

}  // namespace rwkv::pickle
