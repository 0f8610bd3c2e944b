// SPDX-License-Identifier: Apache-2.0
// Reads the World vocabulary and encodes by longest match.
#include "text/trie_tokenizer.h"

#include <algorithm>
#include <bitset>

#include "message.h"
#include "text/world_literal.h"

namespace rwkv {
namespace {

[[noreturn]] void fail(const std::string& name, std::size_t line, const std::string& problem) {
  throw TokenizerError(message(name, ": line ", line, ": ", problem));
}

// Two lines with the same bytes are neighbours after sorting; the higher line number is the one to report.
void check_no_token_twice(std::span<const Trie::Entry> sorted, std::span<const std::size_t> line_of_id,
                          const std::string& name) {
  const auto twice = std::ranges::adjacent_find(sorted, {}, &Trie::Entry::bytes);
  if (twice == sorted.end()) return;
  const auto [line, other] = std::minmax(line_of_id[twice->id], line_of_id[(twice + 1)->id]);
  fail(name, other, message("the same token as in line ", line));
}

void check_all_single_bytes(std::span<const Trie::Entry> entries, const std::string& name) {
  std::bitset<256> found;
  for (const Trie::Entry& entry : entries) {
    if (entry.bytes.size() == 1) found.set(static_cast<unsigned char>(entry.bytes[0]));
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (!found[byte])
      throw TokenizerError(message(name, ": no token for the single byte ", byte, ", so not every text can be encoded"));
  }
}

}  // namespace

TrieTokenizer::TrieTokenizer(std::string_view content, const std::string& name) {
  std::vector<std::size_t> line_of_id;  // 0: none
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
  for (std::size_t number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    WorldLine entry;
    try {
      entry = parse_world_line(line);
    } catch (const TokenizerError& error) {
      fail(name, number, error.what());
    }
    if (entry.token.empty() || entry.token.size() > kMaxTokenBytes) {
      fail(name, number, message("a token has 1 to ", kMaxTokenBytes, " bytes, this one ", entry.token.size()));
    }
    if (entry.id >= spans_.size()) {
      spans_.resize(entry.id + 1);
      line_of_id.resize(entry.id + 1);
    }
    if (line_of_id[entry.id] != 0) fail(name, number, message("id ", entry.id, " again, first in line ", line_of_id[entry.id]));
    line_of_id[entry.id] = number;
    spans_[entry.id] = {static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(entry.token.size())};
    bytes_ += entry.token;
  }
  std::vector<Trie::Entry> entries;
  for (std::size_t id = 0; id < spans_.size(); ++id) {
    if (spans_[id].size != 0) entries.push_back({bytes(static_cast<Token>(id)), static_cast<std::uint32_t>(id)});
  }
  std::ranges::sort(entries, {}, &Trie::Entry::bytes);
  check_no_token_twice(entries, line_of_id, name);
  check_all_single_bytes(entries, name);
  trie_ = Trie(entries);
}

std::vector<Token> TrieTokenizer::encode(std::string_view text) const {
  std::vector<Token> ids;
  ids.reserve(text.size() / 4 + 16);  // English has 4.5 bytes per token
  while (!text.empty()) {
    const Trie::Match match = trie_.longest(text);  // never empty: every byte is a token
    ids.push_back(static_cast<Token>(match.id));
    text.remove_prefix(match.size);
  }
  return ids;
}

std::string_view TrieTokenizer::bytes(Token id) const noexcept {
  if (id < 0 || static_cast<std::size_t>(id) >= spans_.size()) return {};
  const Span span = spans_[static_cast<std::size_t>(id)];
  return std::string_view(bytes_).substr(span.offset, span.size);
}

}  // namespace rwkv
