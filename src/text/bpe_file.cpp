// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json event by event, so that memory stays proportional to what is kept; then refuses what is not supported.
#include "text/bpe_file.h"

#include <rwkv/error.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "message.h"
#include "text/trie.h"

namespace rwkv {
namespace {

using json = nlohmann::json;

constexpr std::size_t kMaxDepth = 64, kMaxItems = 1'048'576, kMaxSettings = 4'096;
constexpr std::uint32_t kNoId = Trie::kMaxId + 1;

struct Scalar {
  std::string text;  // strings as they are, other values as in JSON
  bool is_string = false;
  std::optional<std::uint64_t> number;  // if whole and not negative
};

std::string shown(const Scalar& value) { return value.is_string ? "\"" + printable(value.text) + "\"" : printable(value.text); }

std::uint32_t token_id(const Scalar& value, std::string_view of) {
  if (!value.number || *value.number > Trie::kMaxId) {
    throw TokenizerError(message(of, ": expected a token id from 0 to ", Trie::kMaxId, ", found ", shown(value)));
  }
  return static_cast<std::uint32_t>(*value.number);
}

bool truth(const Scalar& value, std::string_view of) {
  if (value.is_string || (value.text != "true" && value.text != "false")) {
    throw TokenizerError(message("added_tokens: ", of, ": expected true or false, found ", shown(value)));
  }
  return value.text == "true";
}

template <class Items, class Item>
void add_item(Items& items, Item item, std::string_view what) {
  if (items.size() == kMaxItems) throw TokenizerError(message("more than ", kMaxItems, " ", what));
  items.push_back(std::move(item));
}

// All scalars outside of vocabulary, merges and added tokens, by path such as "pre_tokenizer.type".
using Settings = std::map<std::string, Scalar, std::less<>>;

class Handler final : public nlohmann::json_sax<json> {
 public:
  Handler(BpeFile& file, Settings& settings) : file_(file), settings_(settings) {}

  bool null() override { return value({"null", false, {}}); }
  bool boolean(bool v) override { return value({v ? "true" : "false", false, {}}); }
  bool number_integer(number_integer_t v) override { return value({std::to_string(v), false, {}}); }
  bool number_unsigned(number_unsigned_t v) override { return value({std::to_string(v), false, v}); }
  bool number_float(number_float_t, const string_t& text) override { return value({text, false, {}}); }
  bool string(string_t& v) override { return value({std::move(v), true, {}}); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(std::size_t) override { return start(false); }
  bool start_array(std::size_t) override { return start(true); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(string_t& name) override {
    path_.back().key = std::move(name);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw TokenizerError(message("damaged JSON: ", printable(error.what())));
  }

  void check_complete() const {
    if (!has_vocab_) throw TokenizerError("model.vocab: expected an object, found none");
    if (!has_merges_) throw TokenizerError("model.merges: expected an array, found none");
  }

 private:
  enum class Section { settings, vocab, merges, added };

  struct Frame {  // an open object or array
    bool is_array;
    std::string key;        // of the current member of an object
    std::size_t index = 0;  // of the next element of an array
  };

  bool start(bool is_array) {
    if (path_.size() == kMaxDepth) throw TokenizerError(message("JSON nested more than ", kMaxDepth, " deep"));
    if (section_ == Section::settings) {
      enter_section(is_array);
    } else if (section_ == Section::merges && is_array && path_.size() == 3) {
      add_item(file_.merges, std::pair<std::string, std::string>(), "merges");
      parts_ = 0;
    } else if (section_ == Section::added && !is_array && path_.size() == 2) {
      add_item(file_.added, BpeFile::AddedToken{"", kNoId, false, false}, "added tokens");
      normalized_.reset();
    } else {
      throw TokenizerError(message("unexpected ", is_array ? "array" : "object", " in ", path()));
    }
    path_.push_back({is_array, {}});
    return true;
  }

  void enter_section(bool is_array) {
    const std::size_t depth = path_.size();
    if (depth == 1 && path_[0].key == "added_tokens" && is_array) section_ = Section::added;
    if (depth == 2 && path_[0].key == "model" && path_[1].key == "vocab" && !is_array) section_ = Section::vocab;
    if (depth == 2 && path_[0].key == "model" && path_[1].key == "merges" && is_array) section_ = Section::merges;
    if (section_ != Section::settings) section_depth_ = depth;
    has_vocab_ = has_vocab_ || section_ == Section::vocab;
    has_merges_ = has_merges_ || section_ == Section::merges;
  }

  bool end() {
    path_.pop_back();
    if (section_ == Section::merges && path_.size() == 3 && parts_ != 2)
      throw TokenizerError("a merge is not a pair of tokens");
    if (section_ == Section::added && path_.size() == 2) finish_added_token();
    if (section_ != Section::settings && path_.size() == section_depth_) section_ = Section::settings;
    return true;
  }

  bool value(Scalar scalar) {
    switch (section_) {
      case Section::vocab:
        add_item(file_.vocab, std::pair(path_.back().key, token_id(scalar, printable(path_.back().key))), "tokens");
        break;
      case Section::merges:
        merge(std::move(scalar));
        break;
      case Section::added:
        added_token_field(std::move(scalar));
        break;
      case Section::settings:
        setting(std::move(scalar));
    }
    return true;
  }

  // Either "a b" or one half of ["a", "b"].
  void merge(Scalar scalar) {
    if (!scalar.is_string) throw TokenizerError(message("merges: expected text, found ", shown(scalar)));
    if (path_.size() == 4) {
      if (++parts_ > 2) throw TokenizerError("a merge is not a pair of tokens");
      (parts_ == 1 ? file_.merges.back().first : file_.merges.back().second) = std::move(scalar.text);
      return;
    }
    const std::size_t space = scalar.text.find(' ');
    if (space == std::string::npos || scalar.text.find(' ', space + 1) != std::string::npos) {
      throw TokenizerError(message("merges: expected two tokens with a space between them, found ", shown(scalar)));
    }
    add_item(file_.merges, std::pair(scalar.text.substr(0, space), scalar.text.substr(space + 1)), "merges");
  }

  void added_token_field(Scalar scalar) {
    if (path_.size() != 3) throw TokenizerError("added_tokens: expected objects");
    const std::string& field = path_.back().key;
    BpeFile::AddedToken& token = file_.added.back();
    if (field == "content" && scalar.is_string) token.content = std::move(scalar.text);
    if (field == "id") token.id = token_id(scalar, "added_tokens");
    if (field == "special") token.special = truth(scalar, field);
    if (field == "normalized") normalized_ = truth(scalar, field);
    if ((field == "single_word" || field == "lstrip" || field == "rstrip") && truth(scalar, field)) {
      throw TokenizerError(message("added_tokens: ", field, " is not supported"));
    }
  }

  void finish_added_token() {
    BpeFile::AddedToken& token = file_.added.back();
    if (token.content.empty() || token.id == kNoId) throw TokenizerError("added_tokens: a token without content or id");
    token.normalized = normalized_.value_or(!token.special);
  }

  void setting(Scalar scalar) {
    if (settings_.size() == kMaxSettings) throw TokenizerError(message("more than ", kMaxSettings, " settings"));
    if (!settings_.try_emplace(path(), std::move(scalar)).second) throw TokenizerError(message("twice: ", printable(path())));
    if (!path_.empty()) ++path_.back().index;
  }

  std::string path() const {
    std::string text;
    for (const Frame& frame : path_)
      text += (text.empty() ? "" : ".") + (frame.is_array ? std::to_string(frame.index) : frame.key);
    return text;
  }

  BpeFile& file_;
  Settings& settings_;
  std::vector<Frame> path_;
  Section section_ = Section::settings;
  std::size_t section_depth_ = 0;
  bool has_vocab_ = false, has_merges_ = false;
  int parts_ = 0;                   // of the current merge
  std::optional<bool> normalized_;  // of the current added token
};

// Throws unless the setting has one of the values; "" stands for a missing one.
void expect(const Settings& settings, std::string_view name, std::initializer_list<std::string_view> values) {
  const auto found = settings.find(name);
  const std::string text = found == settings.end() ? "" : shown(found->second);
  if (std::ranges::find(values, text) != values.end()) return;
  throw TokenizerError(
      message(name, ": ", text.empty() ? "a missing value" : text, " is not supported, only ", *values.begin()));
}

// Throws unless `name` is null, missing, or an object of the given type ("": of none).
void expect_type(const Settings& settings, const std::string& name, std::string_view type) {
  const auto first = settings.lower_bound(name + ".");
  if (first == settings.end() || !first->first.starts_with(name + ".")) return expect(settings, name, {"null", ""});
  if (type.empty()) throw TokenizerError(message(name, " is not supported"));
  expect(settings, name + ".type", {type});
}

void check_supported(const Settings& settings) {
  expect(settings, "model.type", {"\"BPE\""});
  expect(settings, "model.dropout", {"null", "", "0", "0.0"});
  expect(settings, "model.continuing_subword_prefix", {"null", "", "\"\""});
  expect(settings, "model.end_of_word_suffix", {"null", "", "\"\""});
  expect(settings, "model.ignore_merges", {"false", ""});
  expect_type(settings, "normalizer", "\"NFC\"");
  expect(settings, "pre_tokenizer.type", {"\"ByteLevel\""});
  expect(settings, "pre_tokenizer.add_prefix_space", {"false"});
  expect(settings, "pre_tokenizer.use_regex", {"true", ""});
  expect_type(settings, "post_processor", "\"ByteLevel\"");
  expect_type(settings, "decoder", "\"ByteLevel\"");
  expect_type(settings, "truncation", "");
  expect_type(settings, "padding", "");
}

BpeFile parse(std::string_view content) {
  BpeFile file;
  Settings settings;
  Handler handler(file, settings);
  json::sax_parse(content.begin(), content.end(), &handler);
  check_supported(settings);
  handler.check_complete();
  file.nfc = settings.contains("normalizer.type");
  std::ranges::sort(file.vocab);
  const auto twice = std::ranges::adjacent_find(file.vocab, {}, &std::pair<std::string, std::uint32_t>::first);
  if (twice != file.vocab.end()) throw TokenizerError(message("vocab: \"", printable(twice->first), "\" twice"));
  return file;
}

}  // namespace

BpeFile parse_bpe_file(std::string_view content, const std::string& name) {
  try {
    return parse(content);
  } catch (const TokenizerError& error) {
    throw TokenizerError(message(name, ": ", error.what()));
  }
}

}  // namespace rwkv
