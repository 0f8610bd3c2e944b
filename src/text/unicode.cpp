// SPDX-License-Identifier: Apache-2.0
// utf8proc answers one character at a time; a table built from its answers at first use makes that fast. Ordering of combining
// marks is done here because utf8proc's own takes quadratic time.
#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <vector>

#include "text/utf8.h"

namespace rwkv::unicode {
namespace {

constexpr std::size_t kCodes = 0x110000, kBlock = 256;
constexpr std::uint8_t kClassMask = 3;
// The character may change when text is normalised, or combine with the one in front: NFC quick check "no" or "maybe", or a
// combining class. Text is in NFC form if it has no such character, and may be cut in front of every other one.
constexpr std::uint8_t kUnstable = 4;
constexpr std::size_t kMaxDecomposed = 32;  // characters; 4 occur

bool is_white_space(utf8proc_int32_t code) {
  return (code >= 0x9 && code <= 0xD) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

Class category_class(utf8proc_int32_t code) {
  if (is_white_space(code)) return Class::space;
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Class::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return Class::number;
    default:
      return Class::other;
  }
}

utf8proc_propval_t combining_class(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

void append_decomposed(utf8proc_int32_t code, std::vector<utf8proc_int32_t>& out) {
  std::array<utf8proc_int32_t, kMaxDecomposed> parts;
  int boundary = 0;
  const auto count = utf8proc_decompose_char(code, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
  if (count < 0 || count > static_cast<utf8proc_ssize_t>(parts.size())) {
    out.push_back(code);  // not for any code point of Unicode
    return;
  }
  out.insert(out.end(), parts.begin(), parts.begin() + count);
}

// Sorts marks by combining class; marks of one class keep their order.
void sort_marks(std::span<utf8proc_int32_t> marks) {
  std::vector<std::uint64_t> keys;  // class, place, code point: 8, 35 and 21 bits
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const auto code = static_cast<std::uint64_t>(marks[i]);
    keys.push_back(static_cast<std::uint64_t>(combining_class(marks[i])) << 56 | std::uint64_t{i} << 21 | code);
  }
  std::ranges::sort(keys);
  for (std::size_t i = 0; i < marks.size(); ++i) marks[i] = static_cast<utf8proc_int32_t>(keys[i] & 0x1FFFFF);
}

// Canonical ordering and composition of a decomposed text.
void compose(std::vector<utf8proc_int32_t>& codes) {
  for (auto at = codes.begin(); at != codes.end();) {
    const auto marked = [](utf8proc_int32_t code) { return combining_class(code) != 0; };
    const auto first = std::find_if(at, codes.end(), marked);
    at = std::find_if_not(first, codes.end(), marked);
    if (at - first > 1) sort_marks({first, at});
  }
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const auto size = utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), options);
  if (size >= 0) codes.resize(static_cast<std::size_t>(size));
}

// Two stages: equal blocks of 256 characters are stored once.
class Table {
 public:
  Table() {
    std::vector<std::uint8_t> flags(kCodes);
    std::vector<utf8proc_int32_t> codes;
    for (std::size_t i = 0; i < kCodes; ++i) {
      const auto code = static_cast<utf8proc_int32_t>(i);
      flags[i] |= static_cast<std::uint8_t>(category_class(code));
      if (combining_class(code) != 0) flags[i] |= kUnstable;
      codes.clear();
      append_decomposed(code, codes);
      if (codes.size() == 1 && codes[0] == code) continue;
      // What ends a decomposition combines with what is in front of it: U+0301, and the vowels and finals of Hangul.
      if (codes.size() > 1) flags[static_cast<std::size_t>(codes.back())] |= kUnstable;
      compose(codes);
      if (codes.size() != 1 || codes[0] != code) flags[i] |= kUnstable;
    }
    std::map<std::u8string, std::uint16_t> known;
    for (std::size_t i = 0; i < kCodes; i += kBlock) {
      const std::u8string block(flags.begin() + i, flags.begin() + i + kBlock);
      const auto [at, is_new] = known.try_emplace(block, static_cast<std::uint16_t>(known.size()));
      if (is_new) flags_.insert(flags_.end(), block.begin(), block.end());
      block_of_[i / kBlock] = at->second;
    }
  }

  std::uint8_t flags_of(char32_t code) const { return flags_[block_of_[code / kBlock] * kBlock + code % kBlock]; }

 private:
  std::array<std::uint16_t, kCodes / kBlock> block_of_;
  std::vector<std::uint8_t> flags_;
};

const Table& table() {
  static const Table table;
  return table;
}

// The end of the characters from `at` on that cannot be separated: up to the next stable one.
std::size_t end_of_unstable(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const utf8::Character next = utf8::first_character(text.substr(at));
    if (next.status != utf8::Status::complete || !(table().flags_of(next.code) & kUnstable)) break;
    at += next.size;
  }
  return at;
}

void append_nfc(std::string_view text, std::string& out) {
  std::vector<utf8proc_int32_t> codes;
  while (!text.empty()) {
    const utf8::Character character = utf8::first_character(text);
    append_decomposed(static_cast<utf8proc_int32_t>(character.code), codes);
    text.remove_prefix(character.size);
  }
  compose(codes);
  for (const utf8proc_int32_t code : codes) utf8::append(out, static_cast<char32_t>(code));
}

}  // namespace

Class class_of(char32_t code) { return static_cast<Class>(table().flags_of(code) & kClassMask); }

std::string_view to_nfc(std::string_view text, std::string& buffer) {
  constexpr unsigned char kFirstUnstableLead = 0xCC;  // U+0300; everything before is stable
  std::size_t copied = 0;                             // bytes of text that are in buffer already
  std::size_t previous = 0;                           // start of the last complete character before `at`, or `at`
  buffer.clear();
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0x80) {
      previous = at++;
      continue;
    }
    const utf8::Character character = utf8::first_character(text.substr(at));
    const bool complete = character.status == utf8::Status::complete;
    if (!complete || lead < kFirstUnstableLead || !(table().flags_of(character.code) & kUnstable)) {
      at += character.size;
      previous = complete ? at - character.size : at;
      continue;
    }
    const std::size_t end = end_of_unstable(text, at);
    buffer.append(text.substr(copied, previous - copied));
    append_nfc(text.substr(previous, end - previous), buffer);
    copied = previous = at = end;
  }
  if (copied == 0) return text;
  buffer.append(text.substr(copied));
  return buffer;
}

}  // namespace rwkv::unicode
