// SPDX-License-Identifier: Apache-2.0
// Strict UTF-8, by the table of well-formed byte sequences (Unicode Standard, table 3-7).
#include "text/utf8.h"

#include <algorithm>

namespace rwkv::utf8 {
namespace {

struct Lead {
  std::size_t size;               // of the whole character; 0: no character begins with this byte
  unsigned char lowest, highest;  // of the second byte; later ones are 80 to BF
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};  // a continuation byte, or overlong
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};  // shorter ones are overlong
  if (byte == 0xED) return {3, 0x80, 0x9F};  // the rest are surrogates
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // U+10FFFF is the last
  return {0, 0, 0};
}

}  // namespace

Character first_character(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const Lead lead = lead_of(byte(0));
  if (lead.size == 1) return {byte(0), 1, Status::complete};
  if (lead.size == 0) return {0, 1, Status::invalid};
  char32_t code = byte(0) & (0x7Fu >> lead.size);
  for (std::size_t i = 1; i < lead.size; ++i) {
    if (i == text.size()) return {0, i, Status::incomplete};
    const unsigned char lowest = i == 1 ? lead.lowest : 0x80;
    const unsigned char highest = i == 1 ? lead.highest : 0xBF;
    if (byte(i) < lowest || byte(i) > highest) return {0, i, Status::invalid};
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  return {code, lead.size, Status::complete};
}

bool is_valid(std::string_view text) noexcept {
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.status != Status::complete) return false;
    text.remove_prefix(character.size);
  }
  return true;
}

std::size_t incomplete_suffix(std::string_view text) noexcept {
  for (std::size_t size = 1; size <= std::min<std::size_t>(3, text.size()); ++size) {
    const std::string_view suffix = text.substr(text.size() - size);
    if ((static_cast<unsigned char>(suffix[0]) & 0xC0) == 0x80) continue;  // inside a character: look further back
    const Character character = first_character(suffix);
    return character.status == Status::incomplete && character.size == size ? size : 0;
  }
  return 0;
}

std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.status == Status::complete) {
      out.append(text.substr(0, character.size));
    } else {
      out += "\uFFFD";
    }
    text.remove_prefix(character.size);
  }
  return out;
}

void append(std::string& text, char32_t code) {
  const auto put = [&](char32_t bits) { text.push_back(static_cast<char>(bits)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace rwkv::utf8
