// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back: the World vocabulary (longest match), byte-level BPE files of the GPT-NeoX kind, and plain bytes.
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

  // Token ids of UTF-8 text. Bytes that are not UTF-8 are encoded too: World looks at bytes only; BPE takes each as a character
  // of its own, neither letter nor digit nor space, that normalisation leaves alone (U+FFFD if the vocabulary has no
  // token for the byte: 20B has none for C0, C1 and F5 to FF).
  [[nodiscard]] virtual std::vector<Token> encode(std::string_view text) const = 0;

  // The bytes one token stands for: perhaps a part of a character; empty for special tokens and for ids without an entry.
  [[nodiscard]] virtual std::string_view bytes(Token id) const noexcept = 0;

  // One more than the highest id.
  [[nodiscard]] virtual int size() const noexcept = 0;

  // "world", "bpe" or "bytes".
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;

  // The exact bytes of the tokens, one after the other.
  [[nodiscard]] std::string decode(std::span<const Token> ids) const;
};

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

// Reads a vocabulary file: World text or Hugging Face tokenizer JSON, told apart by content. Nothing in it is executed.
// Throws FileError, TokenizerError.
[[nodiscard]] TokenizerPtr load_tokenizer(const std::filesystem::path& file);

// The same from the content of such a file; `name` is for messages.
[[nodiscard]] TokenizerPtr parse_tokenizer(std::string_view content, const std::string& name);

// Where the tokenizer of a model comes from.
struct FoundTokenizer {
  TokenizerPtr tokenizer;
  std::string source;   // for messages: a path, a tensor of the checkpoint, or "bytes"
  std::string content;  // of the vocabulary file; empty for "bytes"
};

// The tokenizer of a model with n_vocab outputs. The first of these that is there:
//  1. `explicit_file`: a path, or the word "bytes" (token = byte);
//  2. the vocabulary inside the checkpoint: its u8 tensor "tokenizer", which holds the bytes of a vocabulary file;
//  3. beside the checkpoint MODEL.EXT: MODEL.vocab.txt, MODEL_vocab.txt, rwkv_vocab_v20230424.txt, 20B_tokenizer.json,
//     tokenizer.json; one that cannot be read or does not fit n_vocab (up to 512 more outputs than ids) is passed over;
//  4. "bytes" if n_vocab is 256;
//  5. the World vocabulary of an installed `rwkvcpp` or `rwkv` Python package if n_vocab is 65530 to 65536.
// Throws TokenizerError if nothing is found, naming the file to get and what was passed over, and if 1 or 2 has more ids than
// the model has outputs; FileError and CheckpointError for files that cannot be read.
[[nodiscard]] FoundTokenizer find_vocabulary(const std::filesystem::path& checkpoint, int n_vocab,
                                             const std::optional<std::filesystem::path>& explicit_file = {});

// find_vocabulary(...).tokenizer
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
