// SPDX-License-Identifier: Apache-2.0
// The literals are those that Python's repr() writes: '…' "…" b'…' b"…" with \n \t \r \\ \' \" \xHH, and \uHHHH \UHHHHHHHH in
// text.
#include "text/world_literal.h"

#include <rwkv/error.h>

#include <charconv>
#include <system_error>

#include "message.h"
#include "text/trie.h"
#include "text/utf8.h"

namespace rwkv {
namespace {

std::uint32_t parse_number(std::string_view text, int base, const char* what) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    throw TokenizerError(message("expected ", what, ", found \"", printable(text), "\""));
  }
  return value;
}

class Literal {
 public:
  explicit Literal(std::string_view text) : rest_(text), whole_(text) {}

  std::string parse() {
    is_bytes_ = rest_.starts_with('b');
    if (is_bytes_) rest_.remove_prefix(1);
    if (rest_.size() < 2 || (rest_[0] != '\'' && rest_[0] != '"') || rest_.back() != rest_[0]) {
      fail("expected a literal such as 'text' or b'\\xff'");
    }
    const char quote = rest_[0];
    rest_ = rest_.substr(1, rest_.size() - 2);
    while (!rest_.empty()) {
      if (rest_[0] == quote) fail("quote inside the literal");
      if (rest_[0] == '\\') {
        parse_escape();
      } else {
        parse_plain();
      }
    }
    return std::move(out_);
  }

 private:
  void parse_plain() {
    const utf8::Character character = utf8::first_character(rest_);
    if (character.status != utf8::Status::complete) fail("text is not UTF-8");
    if (character.code < 0x20 || character.code == 0x7F) fail("control character");
    if (is_bytes_ && character.code > 0x7F) fail("character that is not ASCII in a bytes literal");
    out_.append(rest_.substr(0, character.size));
    rest_.remove_prefix(character.size);
  }

  void parse_escape() {
    const char kind = rest_.size() < 2 ? '\0' : rest_[1];
    switch (kind) {
      case 'n':
        return put_escaped('\n');
      case 't':
        return put_escaped('\t');
      case 'r':
        return put_escaped('\r');
      case '\\':
      case '\'':
      case '"':
        return put_escaped(kind);
      case 'x':
        return put_hexadecimal(2);
      case 'u':
        return put_hexadecimal(4);
      case 'U':
        return put_hexadecimal(8);
      default:
        fail(message("unknown escape \"", printable(rest_.substr(0, 2)), "\""));
    }
  }

  void put_escaped(char character) {
    out_.push_back(character);
    rest_.remove_prefix(2);
  }

  void put_hexadecimal(std::size_t digits) {
    if (is_bytes_ && digits != 2) fail("\\u and \\U have no meaning in a bytes literal");
    const std::string_view number = rest_.substr(2, digits);
    if (number.size() != digits) fail("the literal ends inside an escape");
    const std::uint32_t code = parse_number(number, 16, "hexadecimal digits");
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("escape of something that is not a character");
    if (is_bytes_) {
      out_.push_back(static_cast<char>(code));
    } else {
      utf8::append(out_, code);
    }
    rest_.remove_prefix(2 + digits);
  }

  [[noreturn]] void fail(std::string_view problem) const {
    throw TokenizerError(message(problem, ", found ", printable(whole_)));
  }

  std::string_view rest_, whole_;
  std::string out_;
  bool is_bytes_ = false;
};

}  // namespace

WorldLine parse_world_line(std::string_view line) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    throw TokenizerError(message("expected `<id> <literal> <byte length>`, found \"", printable(line), "\""));
  }
  WorldLine out;
  out.id = parse_number(line.substr(0, first), 10, "a token id");
  if (out.id > Trie::kMaxId) throw TokenizerError(message("token id ", out.id, " is above the limit of ", Trie::kMaxId));
  out.token = Literal(line.substr(first + 1, last - first - 1)).parse();
  const std::uint32_t declared = parse_number(line.substr(last + 1), 10, "a byte length");
  if (out.token.size() != declared) {
    throw TokenizerError(message("the token has ", out.token.size(), " bytes, but the line says ", declared));
  }
  return out;
}

}  // namespace rwkv
