// SPDX-License-Identifier: Apache-2.0
// safetensors: 8 bytes of header length, a JSON header, the elements.
#pragma once
#include <optional>
#include <string_view>

#include "checkpoint/byte_source.h"
#include "checkpoint/inventory.h"

namespace rwkv {

inline constexpr std::uint64_t kLargestHeader = 16 << 20;

// Tensors lie one after the other, without gaps, and fill the file. Throws CheckpointError, without the file's name.
[[nodiscard]] Inventory read_safetensors(const ByteSource& source);

// "BF16"
[[nodiscard]] std::string_view safetensors_name(FileType type);
[[nodiscard]] std::optional<FileType> safetensors_type(std::string_view name);

}  // namespace rwkv
