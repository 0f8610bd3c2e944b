// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back: the World vocabulary (longest match) and byte-level BPE files of the GPT-NeoX kind.
#pragma once
#include <rwkv/error.h>
#include <rwkv/model.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rwkv {

// Immutable; shared by threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Token ids of UTF-8 text. Bytes that are not UTF-8 are encoded too (World: byte by byte; BPE: without normalisation).
  [[nodiscard]] virtual std::vector<Token> encode(std::string_view text) const = 0;

  // The bytes one token stands for: perhaps a part of a character; empty for special tokens and for ids without an entry.
  [[nodiscard]] virtual std::string_view bytes(Token id) const noexcept = 0;

  // One more than the highest id.
  [[nodiscard]] virtual int size() const noexcept = 0;

  // "world" or "bpe".
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;

  // The exact bytes of the tokens, one after the other.
  [[nodiscard]] std::string decode(std::span<const Token> ids) const;
};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

// Reads a vocabulary file: World text or Hugging Face tokenizer JSON, told apart by content. Throws FileError, TokenizerError.
[[nodiscard]] TokenizerPtr load_tokenizer(const std::filesystem::path& file);

// The tokenizer of a model: `explicit_file`, else the vocabulary inside the checkpoint, else a vocabulary file beside it, else
// the World vocabulary of an installed `rwkv` Python package when `n_vocab` says World. Throws TokenizerError, naming the file to get.
[[nodiscard]] TokenizerPtr find_tokenizer(const std::filesystem::path& checkpoint, int n_vocab,
                                          const std::optional<std::filesystem::path>& explicit_file = {});

// Joins tokens to text piece by piece and holds back a character only as long as its bytes are incomplete.
class StreamDecoder {
 public:
  explicit StreamDecoder(TokenizerPtr tokenizer);

  // Text that is complete with this token: valid UTF-8, except that bytes which can never become valid become U+FFFD.
  [[nodiscard]] std::string push(Token id);

  // What is still held back, as U+FFFD; empty if nothing is.
  [[nodiscard]] std::string flush();

 private:
  TokenizerPtr tokenizer_;
  std::string pending_;  // at most 3 bytes
};

}  // namespace rwkv
