// SPDX-License-Identifier: Apache-2.0
// Text -> added tokens -> NFC -> added tokens -> words -> merges.
#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <optional>

#include "message.h"
#include "text/splitter.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/word_cache.h"

namespace rwkv {
namespace {

constexpr std::size_t kMaxAddedBytes = 1'024;
constexpr std::uint32_t kNoToken = UINT32_MAX;

// The alphabet of such files: printable characters of Latin-1 stand for their own byte, U+0100 and on for the others in order.
constexpr auto kByteOfCharacter = [] {
  std::array<std::int16_t, 0x144> bytes{};  // -1: not in the alphabet
  bytes.fill(-1);
  std::size_t extra = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    bytes[printable ? byte : extra++] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}();

// The bytes that a token of the file stands for; none if it has other characters than those of the alphabet.
std::optional<std::string> from_alphabet(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const utf8::Character character = utf8::first_character(token);
    if (character.code >= kByteOfCharacter.size() || kByteOfCharacter[character.code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kByteOfCharacter[character.code]));
    token.remove_prefix(character.size);
  }
  return bytes;
}

bool occurs_in_utf8(std::size_t byte) { return byte != 0xC0 && byte != 0xC1 && byte < 0xF5; }

const std::uint32_t* find_id(const BpeFile& file, std::string_view token) {
  const auto at =
      std::ranges::lower_bound(file.vocab, token, {}, [](const auto& entry) { return std::string_view(entry.first); });
  return at != file.vocab.end() && at->first == token ? &at->second : nullptr;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<Trie::Entry> entries) {
  std::ranges::sort(entries, {}, &Trie::Entry::bytes);
  const auto twice = std::ranges::adjacent_find(entries, {}, &Trie::Entry::bytes);
  if (twice != entries.end()) throw TokenizerError(message("added_tokens: \"", printable(twice->bytes), "\" twice"));
  for (const Trie::Entry& entry : entries) starts_[static_cast<unsigned char>(entry.bytes[0])] = true;
  trie_ = Trie(entries);
}

AddedTokens::Found AddedTokens::find(std::string_view text) const noexcept {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!starts_[static_cast<unsigned char>(text[at])]) continue;
    const Trie::Match token = trie_.longest(text.substr(at));
    if (token.size != 0) return {at, token};
  }
  return {text.size(), {}};
}

// One call of encode().
class BpeEncoder {
 public:
  BpeEncoder(const BpeTokenizer& tokenizer, std::size_t text_size)
      : tokenizer_(tokenizer), merger_(tokenizer.merges_), cache_(text_size) {
    out_.reserve(text_size / 4 + 16);  // English has 4.3 bytes per token
  }

  std::vector<Token> encode(std::string_view text) {
    between(tokenizer_.exact_, text, [&](std::string_view raw) {
      if (tokenizer_.nfc_) raw = unicode::to_nfc(raw, normalized_);
      between(tokenizer_.normalized_, raw, [&](std::string_view piece) { words(piece); });
    });
    return std::move(out_);
  }

 private:
  // Calls `encode_piece` for the text between added tokens and puts out the added tokens.
  template <class EncodePiece>
  void between(const AddedTokens& tokens, std::string_view text, const EncodePiece& encode_piece) {
    while (!text.empty()) {
      const AddedTokens::Found found = tokens.find(text);
      if (found.at > 0) encode_piece(text.substr(0, found.at));
      if (found.token.size != 0) out_.push_back(static_cast<Token>(found.token.id));
      text.remove_prefix(found.at + found.token.size);
    }
  }

  void words(std::string_view text) {
    while (!text.empty()) {
      const std::string_view next = text.substr(0, first_word(text));
      text.remove_prefix(next.size());
      if (next.size() <= WordCache::kMaxWord) {
        cached_word(next);
      } else {
        word(next);
      }
    }
  }

  void cached_word(std::string_view text) {
    const auto [slot, known] = cache_.find(text);
    if (known) {
      for (std::size_t i = 0; i < slot->count; ++i) out_.push_back(Token{out_[slot->first + i]});
      return;
    }
    slot->first = out_.size();
    word(text);
    slot->count = static_cast<std::uint8_t>(out_.size() - slot->first);
  }

  void word(std::string_view text) {
    parts_.clear();
    for (const char byte : text) {
      const std::uint32_t id = tokenizer_.byte_ids_[static_cast<unsigned char>(byte)];
      if (id != kNoToken) {
        parts_.push_back(id);
      } else {
        for (const std::size_t part : {0xEFu, 0xBFu, 0xBDu}) parts_.push_back(tokenizer_.byte_ids_[part]);
      }
    }
    merger_.merge(parts_);
    out_.insert(out_.end(), parts_.begin(), parts_.end());
  }

  const BpeTokenizer& tokenizer_;
  WordMerger merger_;
  WordCache cache_;
  std::vector<Token> out_;
  std::vector<std::uint32_t> parts_;  // of a word
  std::string normalized_;
};

BpeTokenizer::BpeTokenizer(std::string_view content, const std::string& name) {
  const BpeFile file = parse_bpe_file(content, name);
  try {
    nfc_ = file.nfc;
    read_vocab(file);
    read_added(file);
    read_merges(file);
  } catch (const TokenizerError& error) {
    throw TokenizerError(message(name, ": ", error.what()));
  }
}

void BpeTokenizer::add(std::uint32_t id, std::string_view bytes) {
  if (id >= spans_.size()) spans_.resize(id + 1);
  spans_[id] = {static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(bytes.size())};
  bytes_ += bytes;
}

void BpeTokenizer::read_vocab(const BpeFile& file) {
  std::array<bool, 256> single{};
  for (const auto& [token, id] : file.vocab) {
    if (token.empty()) throw TokenizerError("vocab: an empty token");
    if (id < spans_.size() && spans_[id].size != 0) throw TokenizerError(message("vocab: id ", id, " for two tokens"));
    const std::optional<std::string> bytes = from_alphabet(token);
    add(id, bytes.value_or(token));
    if (!bytes || bytes->size() != 1) continue;
    const auto byte = static_cast<unsigned char>(bytes->front());
    single[byte] = true;
    byte_ids_[byte] = id;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (single[byte]) continue;
    if (occurs_in_utf8(byte)) {
      throw TokenizerError(message("vocab: no token for the single byte ", byte, ", so not every text can be encoded"));
    }
    byte_ids_[byte] = kNoToken;
  }
}

void BpeTokenizer::read_added(const BpeFile& file) {
  std::vector<std::string> contents(file.added.size());  // as they are searched for
  std::vector<Trie::Entry> exact, normalized;
  for (std::size_t i = 0; i < file.added.size(); ++i) {
    const BpeFile::AddedToken& token = file.added[i];
    const std::uint32_t* known = find_id(file, token.content);
    const bool taken = token.id < spans_.size() && spans_[token.id].size != 0;
    if (known != nullptr ? *known != token.id : taken) {
      throw TokenizerError(
          message("added_tokens: \"", printable(token.content), "\" with id ", token.id, " contradicts the other tokens"));
    }
    if (token.content.size() > kMaxAddedBytes) throw TokenizerError("added_tokens: a token is too long");
    std::string buffer;
    contents[i] = token.normalized && nfc_ ? unicode::to_nfc(token.content, buffer) : token.content;
    (token.normalized ? normalized : exact).push_back({contents[i], token.id});
    if (!taken) add(token.id, from_alphabet(token.content).value_or(token.content));
  }
  exact_ = AddedTokens(std::move(exact));
  normalized_ = AddedTokens(std::move(normalized));
  for (const BpeFile::AddedToken& token : file.added) {
    if (token.special) spans_[token.id].size = 0;
  }
}

void BpeTokenizer::read_merges(const BpeFile& file) {
  std::vector<MergeTable::Rule> rules;
  rules.reserve(file.merges.size());
  for (const auto& [left, right] : file.merges) {
    const std::uint32_t* left_id = find_id(file, left);
    const std::uint32_t* right_id = find_id(file, right);
    const std::uint32_t* merged_id = find_id(file, left + right);
    if (left.empty() || right.empty() || left_id == nullptr || right_id == nullptr || merged_id == nullptr) {
      throw TokenizerError(
          message("merges: \"", printable(left), "\" and \"", printable(right), "\" or both together are not in vocab"));
    }
    rules.push_back({*left_id, *right_id, *merged_id});
  }
  merges_ = MergeTable(rules);
}

std::vector<Token> BpeTokenizer::encode(std::string_view text) const {
  if (text.size() >= UINT32_MAX)
    throw ArgumentError(message("text of ", text.size(), " bytes; at most 4 GiB can be encoded at once"));
  return BpeEncoder(*this, text.size()).encode(text);
}

std::string_view BpeTokenizer::bytes(Token id) const noexcept {
  if (id < 0 || static_cast<std::size_t>(id) >= spans_.size()) return {};
  const Span span = spans_[static_cast<std::size_t>(id)];
  return std::string_view(bytes_).substr(span.offset, span.size);
}

}  // namespace rwkv
