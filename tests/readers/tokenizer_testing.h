// SPDX-License-Identifier: Apache-2.0
// What the tokenizer tests share: vocabularies in memory, random text, errors as text.
#pragma once
#include <rwkv/tokenizer.h>

#include <random>

#include "json.h"
#include "test_data.h"
#include "text/utf8.h"

namespace rwkv::test {

inline TokenizerPtr small_world() { return load_tokenizer(data("tokenizer/small_world.txt")); }
inline TokenizerPtr small_bpe() { return load_tokenizer(data("tokenizer/small_bpe.json")); }
inline nlohmann::json small_bpe_json() { return read_json(data("tokenizer/small_bpe.json")); }

// All single bytes, ids 1 to 256.
inline std::string byte_lines() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 32> line;
    std::snprintf(line.data(), line.size(), "%d b'\\x%02x' 1\n", byte + 1, static_cast<unsigned>(byte));
    lines += line.data();
  }
  return lines;
}

// The message of the TokenizerError for this content; "" if there is none.
inline std::string error_of(const std::string& content) {
  try {
    (void)parse_tokenizer(content, "vocab");
  } catch (const TokenizerError& error) {
    return error.what();
  }
  return {};
}

inline testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "no \"" << part << "\" in \"" << text << "\"";
}

inline std::string random_bytes(std::mt19937& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Characters from all planes, many of them ASCII, white space and combining marks.
inline std::string random_text(std::mt19937& random, std::size_t characters) {
  constexpr char32_t kChosen[] = {' ', ' ', '\n', '\'', 's', 't', 'l', '1', 0x301, 0x323, 0xE9, 0x1100, 0x1161, 0x11A8, 0x3000};
  std::string text;
  while (characters-- > 0) {
    const auto kind = random() % 4;
    auto code = static_cast<char32_t>(random() % 0x110000);
    if (kind == 0) code = 0x20 + code % 95;
    if (kind == 1) code = code % 0x3000;
    if (kind == 2) code = kChosen[code % std::size(kChosen)];
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
    utf8::append(text, code);
  }
  return text;
}

}  // namespace rwkv::test
