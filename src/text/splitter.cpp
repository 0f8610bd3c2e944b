// SPDX-License-Identifier: Apache-2.0
// The GPT-NeoX word pattern by hand; ASCII by table.
#include "text/splitter.h"

#include <array>

#include "text/unicode.h"
#include "text/utf8.h"

namespace rwkv {
namespace {

using unicode::Class;

constexpr auto kAscii = [] {
  std::array<Class, 128> classes{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    const bool digit = c >= '0' && c <= '9';
    classes[static_cast<std::size_t>(c)] = letter ? Class::letter : space ? Class::space : digit ? Class::number : Class::other;
  }
  return classes;
}();

struct Classified {
  Class kind;
  std::size_t size;
};

Classified classify(std::string_view text, std::size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {kAscii[byte], 1};
  const utf8::Character character = utf8::first_character(text.substr(at));
  if (character.status != utf8::Status::complete) return {Class::other, 1};
  return {unicode::class_of(character.code), character.size};
}

// After an apostrophe: 's 't 'm 'd 're 've 'll.
std::size_t contraction(std::string_view text) {
  const char first = text.size() > 1 ? text[1] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = text.size() > 2 ? text[2] : '\0';
  const bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return two ? 3 : 0;
}

std::size_t end_of_class(std::string_view text, std::size_t at, Class kind) {
  while (at < text.size()) {
    const Classified next = classify(text, at);
    if (next.kind != kind) break;
    at += next.size;
  }
  return at;
}

// White space in front of a word leaves its last character to the word, unless it has only that one.
std::size_t white_space(std::string_view text) {
  std::size_t at = 0, last = 0;
  while (at < text.size()) {
    const Classified next = classify(text, at);
    if (next.kind != Class::space) return last == 0 ? at : last;
    last = at;
    at += next.size;
  }
  return at;
}

}  // namespace

std::size_t first_word(std::string_view text) {
  if (text[0] == '\'') {
    if (const std::size_t size = contraction(text)) return size;
  }
  std::size_t at = 0;
  if (text[0] == ' ' && text.size() > 1) at = 1;
  const Classified first = classify(text, at);
  if (first.kind == Class::space) return white_space(text);
  return end_of_class(text, at + first.size, first.kind);
}

}  // namespace rwkv
