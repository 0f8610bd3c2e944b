// SPDX-License-Identifier: Apache-2.0
// Splits text into words as GPT-NeoX does, in linear time and without a regular expression engine.
#pragma once
#include <cstddef>
#include <string_view>

namespace rwkv {

// Size in bytes of the first word of `text` (not empty): the first alternative that matches of
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Bytes that are not UTF-8 count as characters of the class [^\s\p{L}\p{N}].
[[nodiscard]] std::size_t first_word(std::string_view text);

}  // namespace rwkv
