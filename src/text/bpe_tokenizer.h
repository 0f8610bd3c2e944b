// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE with the GPT-NeoX word pattern: the tokenizer of the Pile models (20B_tokenizer.json).
#pragma once
#include <rwkv/tokenizer.h>

#include <array>
#include <cstdint>

#include "text/bpe_file.h"
#include "text/bpe_merge.h"
#include "text/trie.h"

namespace rwkv {

// Tokens that are found as they are, before the text is cut into words. Leftmost, then longest.
class AddedTokens {
 public:
  struct Found {
    std::size_t at;  // size of the text: none
    Trie::Match token;
  };

  AddedTokens() = default;
  explicit AddedTokens(std::vector<Trie::Entry> entries);  // throws TokenizerError if one is there twice

  [[nodiscard]] Found find(std::string_view text) const noexcept;

 private:
  Trie trie_;
  std::array<bool, 256> starts_{};  // first bytes
};

class BpeTokenizer final : public Tokenizer {
 public:
  // `content` of a tokenizer.json; `name` is for messages. Throws TokenizerError.
  BpeTokenizer(std::string_view content, const std::string& name);

  // Throws ArgumentError for 4 GiB of text and more.
  [[nodiscard]] std::vector<Token> encode(std::string_view text) const override;
  [[nodiscard]] std::string_view bytes(Token id) const noexcept override;
  [[nodiscard]] int size() const noexcept override { return static_cast<int>(spans_.size()); }
  [[nodiscard]] std::string_view kind() const noexcept override { return "bpe"; }

 private:
  friend class BpeEncoder;

  struct Span {
    std::uint32_t offset = 0, size = 0;  // in bytes_; size 0: no entry, or a special token
  };

  void read_vocab(const BpeFile& file);
  void read_added(const BpeFile& file);
  void read_merges(const BpeFile& file);
  void add(std::uint32_t id, std::string_view bytes);

  std::string bytes_;
  std::vector<Span> spans_;                    // by id
  std::array<std::uint32_t, 256> byte_ids_{};  // tokens of the single bytes; UINT32_MAX: none (only bytes that UTF-8 has not)
  MergeTable merges_;
  AddedTokens exact_, normalized_;  // searched for before and after normalisation
  bool nfc_ = false;
};

}  // namespace rwkv
