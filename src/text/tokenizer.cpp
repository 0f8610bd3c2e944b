// SPDX-License-Identifier: Apache-2.0
// What all tokenizers share: decoding, streaming, and telling vocabulary files apart.
#include <rwkv/tokenizer.h>

#include "checkpoint/byte_source.h"
#include "message.h"
#include "text/bpe_tokenizer.h"
#include "text/trie_tokenizer.h"
#include "text/utf8.h"
#include "text/vocabulary_file.h"

namespace rwkv {
namespace {

std::string_view without_byte_order_mark(std::string_view content) {
  return content.starts_with("\xEF\xBB\xBF") ? content.substr(3) : content;
}

}  // namespace

std::string Tokenizer::decode(std::span<const Token> ids) const {
  std::string text;
  for (const Token id : ids) text += bytes(id);
  return text;
}

std::string read_vocabulary(const std::filesystem::path& file) {
  const std::unique_ptr<ByteSource> source = open_file(file);
  if (source->size() > kMaxVocabularyBytes) {
    throw TokenizerError(
        message(file.string(), ": a vocabulary has at most ", kMaxVocabularyBytes, " bytes, this file has ", source->size()));
  }
  std::string content(source->size(), '\0');
  source->read(0, std::as_writable_bytes(std::span(content)));
  return content;
}

TokenizerPtr parse_tokenizer(std::string_view content, const std::string& name) {
  const std::string_view start = without_byte_order_mark(content);
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  const char character = first == std::string_view::npos ? '\0' : start[first];
  if (character == '{') return std::make_shared<BpeTokenizer>(content, name);
  if (character >= '0' && character <= '9') return std::make_shared<TrieTokenizer>(content, name);
  std::string found = "begins with \"" + printable(start.substr(0, 40)) + "\"";
  if (first == std::string_view::npos) found = "is empty";
  if (start.starts_with("version https://git-lfs")) found = "is a Git LFS pointer, not the file itself; download the file";
  throw TokenizerError(message(name, ": neither a World vocabulary nor a tokenizer.json: the file ", found));
}

TokenizerPtr load_tokenizer(const std::filesystem::path& file) { return parse_tokenizer(read_vocabulary(file), file.string()); }

StreamDecoder::StreamDecoder(TokenizerPtr tokenizer) : tokenizer_(std::move(tokenizer)) {}

std::string StreamDecoder::push(Token id) {
  pending_ += tokenizer_->bytes(id);
  const std::size_t complete = pending_.size() - utf8::incomplete_suffix(pending_);
  std::string text = utf8::replace_invalid(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string StreamDecoder::flush() {
  std::string text = utf8::replace_invalid(pending_);
  pending_.clear();
  return text;
}

}  // namespace rwkv
