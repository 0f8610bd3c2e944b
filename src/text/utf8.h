// SPDX-License-Identifier: Apache-2.0
// Strict UTF-8: no surrogates, no overlong forms, nothing above U+10FFFF.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rwkv::utf8 {

enum class Status : std::uint8_t {
  complete,
  incomplete,  // the text ends inside a character that could still become valid
  invalid,
};

// The character at the start of a text.
struct Character {
  char32_t code = 0;  // if complete
  // Bytes of the character. If incomplete or invalid: of its longest valid beginning, at least 1 (Unicode's "maximal subpart",
  // which becomes one U+FFFD).
  std::size_t size = 1;
  Status status = Status::invalid;
};

// `text` is not empty.
[[nodiscard]] Character first_character(std::string_view text) noexcept;

[[nodiscard]] bool is_valid(std::string_view text) noexcept;

// Bytes at the end of `text`, 0 to 3, that are the beginning of a character and may still become valid.
[[nodiscard]] std::size_t incomplete_suffix(std::string_view text) noexcept;

// Valid UTF-8: every maximal invalid part becomes U+FFFD, as in Python's bytes.decode(errors="replace").
[[nodiscard]] std::string replace_invalid(std::string_view text);

// `code` is a Unicode scalar value.
void append(std::string& text, char32_t code);

}  // namespace rwkv::utf8
