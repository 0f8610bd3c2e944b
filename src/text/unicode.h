// SPDX-License-Identifier: Apache-2.0
// Character classes of the GPT-NeoX word pattern, and normalisation form C. Both follow the Unicode version of utf8proc.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rwkv::unicode {

enum class Class : std::uint8_t { letter, number, space, other };  // \p{L}, \p{N}, White_Space, the rest

// `code` is at most U+10FFFF.
[[nodiscard]] Class class_of(char32_t code);

// NFC of `text`; returns `text` itself if it is normalised already, else a view of `buffer`. Bytes that are not UTF-8 stay as
// they are and separate what is normalised. Takes time O(n log n), however many combining marks follow each other.
[[nodiscard]] std::string_view to_nfc(std::string_view text, std::string& buffer);

}  // namespace rwkv::unicode
