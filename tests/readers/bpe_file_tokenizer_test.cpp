// SPDX-License-Identifier: Apache-2.0
// tokenizer.json: hostile and unsupported files are refused by name.
#include <functional>

#include "tokenizer_testing.h"

namespace rwkv {
namespace {

using nlohmann::json;
using test::contains;
using test::error_of;

std::string error_with(const std::function<void(json&)>& change) {
  json file = test::small_bpe_json();
  change(file);
  return error_of(file.dump());
}

std::string error_with(const std::string& pointer, const json& value) {
  return error_with([&](json& file) { file[json::json_pointer(pointer)] = value; });
}

TEST(BpeFile, AcceptsMergesAsPairs) {
  json file = test::small_bpe_json();
  for (json& merge : file["model"]["merges"]) {
    const std::string text = merge;
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  const std::string text = "The decay of the state";
  EXPECT_EQ(parse_tokenizer(file.dump(), "vocab")->encode(text), test::small_bpe()->encode(text));
}

TEST(BpeFile, AcceptsMissingNormaliser) {
  json file = test::small_bpe_json();
  file["normalizer"] = nullptr;
  const TokenizerPtr tokenizer = parse_tokenizer(file.dump(), "vocab");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("e\u0301")), "e\u0301");
}

TEST(BpeFile, NamesWhatIsNotSupported) {
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", "(a+)+b"}}}};
  EXPECT_TRUE(contains(error_with("/pre_tokenizer", split), "pre_tokenizer.type: \"Split\" is not supported"));
  EXPECT_TRUE(contains(error_with("/pre_tokenizer/add_prefix_space", true), "pre_tokenizer.add_prefix_space"));
  EXPECT_TRUE(contains(error_with("/pre_tokenizer/use_regex", false), "pre_tokenizer.use_regex"));
  EXPECT_TRUE(contains(error_with("/pre_tokenizer", nullptr), "pre_tokenizer.type"));
  EXPECT_TRUE(contains(error_with("/normalizer/type", "NFKC"), "normalizer.type: \"NFKC\""));
  EXPECT_TRUE(contains(error_with("/post_processor", {{"type", "TemplateProcessing"}}), "post_processor.type"));
  EXPECT_TRUE(contains(error_with("/decoder", {{"type", "Metaspace"}}), "decoder.type"));
  EXPECT_TRUE(contains(error_with("/truncation", {{"max_length", 5}}), "truncation"));
  EXPECT_TRUE(contains(error_with("/model/type", "WordPiece"), "model.type: \"WordPiece\""));
  EXPECT_TRUE(contains(error_with("/model/dropout", 0.5), "model.dropout"));
  EXPECT_TRUE(contains(error_with("/model/ignore_merges", true), "model.ignore_merges"));
  EXPECT_TRUE(contains(error_with("/added_tokens/0/lstrip", true), "lstrip is not supported"));
}

TEST(BpeFile, RejectsMergesOfUnknownTokens) {
  EXPECT_TRUE(contains(error_with("/model/merges/0", "x \u2603"), "not in vocab"));
  EXPECT_TRUE(contains(error_with("/model/merges/0", "q q"), "not in vocab"));
}

TEST(BpeFile, RejectsMergesThatAreNotPairs) {
  for (const json& merge : {json("ab"), json("a b c"), json::array({"a"}), json::array({"a", "b", "c"}), json(7), json::array(),
                            json::array({json::array({"a"}), "b"}), json::object()}) {
    EXPECT_NE(error_with("/model/merges/0", merge), "") << merge;
  }
}

TEST(BpeFile, RejectsBadIds) {
  for (const json& id :
       {json(-1), json(1.5), json("1"), json(1'048'577), json(nullptr), json(18446744073709551615u), json::array()}) {
    EXPECT_NE(error_with("/model/vocab/a", id), "") << id;
    EXPECT_NE(error_with("/added_tokens/0/id", id), "") << id;
  }
}

TEST(BpeFile, RejectsDuplicates) {
  const int id = test::small_bpe_json()["model"]["vocab"]["a"];
  EXPECT_TRUE(contains(error_with("/model/vocab/b", id), "for two tokens"));
  EXPECT_TRUE(contains(error_with("/added_tokens/0/id", id), "contradicts"));
  EXPECT_TRUE(contains(error_with("/added_tokens/2/content", "    "), "twice"));
  std::string text = test::small_bpe_json().dump();
  text.replace(text.find("\"b\":"), 4, "\"a\":");
  EXPECT_TRUE(contains(error_of(text), "\"a\" twice"));
}

TEST(BpeFile, RejectsMissingSingleBytes) {
  EXPECT_TRUE(contains(error_with([](json& file) { file["model"]["vocab"].erase("z"); }), "no token for the single byte 122"));
}

TEST(BpeFile, RejectsDeepNesting) {
  EXPECT_TRUE(contains(error_of("{\"version\":" + std::string(100'000, '[')), "nested more than 64 deep"));
}

TEST(BpeFile, RejectsOtherShapes) {
  for (const std::string text : {"{", "{}", "{\"model\":{}}", "{\"model\":[{\"vocab\":{}}]}", "{\"a\":1}x"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
  EXPECT_NE(error_with("/model/vocab", json::array()), "");
  EXPECT_NE(error_with("/model/merges", json::object()), "");
  EXPECT_NE(error_with("/added_tokens", {1, 2}), "");
  EXPECT_NE(error_with("/added_tokens/0/content", ""), "");
  EXPECT_NE(error_with("/added_tokens/0/content", std::string(1'025, 'x')), "");
}

TEST(BpeFile, TruncatedFilesAreErrors) {
  const std::string text = test::small_bpe_json().dump();
  for (std::size_t size = 0; size < text.size(); size += 7) ASSERT_NE(error_of(text.substr(0, size)), "") << size;
}

}  // namespace
}  // namespace rwkv
