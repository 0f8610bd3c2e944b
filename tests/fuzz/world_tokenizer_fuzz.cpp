// SPDX-License-Identifier: Apache-2.0
// Lines of a World vocabulary after the 256 single bytes: refused, or a tokenizer that returns any bytes unchanged.
#include <array>
#include <cstdio>
#include <cstdlib>

#include "text/trie_tokenizer.h"

static std::string byte_lines() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 32> line;
    std::snprintf(line.data(), line.size(), "%d b'\\x%02x' 1\n", byte, static_cast<unsigned>(byte));
    lines += line.data();
  }
  return lines;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  static const std::string prefix = byte_lines();
  const std::string input(reinterpret_cast<const char*>(data), size);
  const rwkv::TrieTokenizer tokenizer(prefix + input, "input");
  if (tokenizer.decode(tokenizer.encode(input)) != input) std::abort();
  return 0;
} catch (const rwkv::TokenizerError&) {
  return 0;
}
