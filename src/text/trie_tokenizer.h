// SPDX-License-Identifier: Apache-2.0
// The World tokenizer: the longest token that the rest of the text begins with, again and again.
#pragma once
#include <rwkv/tokenizer.h>

#include <cstdint>

#include "text/trie.h"

namespace rwkv {

class TrieTokenizer final : public Tokenizer {
 public:
  static constexpr std::size_t kMaxTokenBytes = 1'024;

  // `content` of a vocabulary file: one line per token, `<id> <literal> <byte length>`, the literal as Python's repr() writes
  // strings and bytes. Lines may end in CRLF, and the file may begin with a byte order mark. Nothing is evaluated. `name` is
  // for messages. Throws TokenizerError with the number of the line.
  TrieTokenizer(std::string_view content, const std::string& name);

  [[nodiscard]] std::vector<Token> encode(std::string_view text) const override;
  [[nodiscard]] std::string_view bytes(Token id) const noexcept override;
  [[nodiscard]] int size() const noexcept override { return static_cast<int>(spans_.size()); }
  [[nodiscard]] std::string_view kind() const noexcept override { return "world"; }

 private:
  struct Span {
    std::uint32_t offset = 0, size = 0;  // in bytes_; size 0: no entry
  };

  std::string bytes_;        // of all tokens
  std::vector<Span> spans_;  // by id
  Trie trie_;
};

}  // namespace rwkv
