// SPDX-License-Identifier: Apache-2.0
// The published vocabularies on recorded cases; decoding and streaming; telling files apart.
#include <rwkv/tokenizer.h>

#include "text/byte_tokenizer.h"
#include "tokenizer_testing.h"

namespace rwkv {
namespace {

using Ids = std::vector<Token>;
using nlohmann::json;
using test::contains;

json cases(const std::string& name) { return test::read_json(test::data("cases/" + name)); }

TEST(WorldVocabulary, EqualsRecordedCases) {
  const auto file = test::shared("tokenizer/rwkv_vocab_v20230424.txt");
  RWKV_SKIP_WITHOUT(file);
  const TokenizerPtr tokenizer = load_tokenizer(file);
  EXPECT_EQ(tokenizer->kind(), "world");
  EXPECT_EQ(tokenizer->size(), 65'530);
  for (const json& item : cases("tokenizer-world.json")) {
    const std::string text = item["text"];
    EXPECT_EQ(tokenizer->encode(text), item["ids"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer->decode(item["ids"].get<Ids>()), text);
  }
}

// The reference gives one U+FFFD for the whole where we give the bytes.
TEST(WorldVocabulary, DecodesIncompleteAndUnknownIds) {
  const auto file = test::shared("tokenizer/rwkv_vocab_v20230424.txt");
  RWKV_SKIP_WITHOUT(file);
  const TokenizerPtr tokenizer = load_tokenizer(file);
  for (const json& item : cases("tokenizer-world-decode.json")) {
    const Ids ids = item["ids"];
    const std::string text = tokenizer->decode(ids);
    const bool hole = std::ranges::any_of(ids, [&](Token id) { return tokenizer->bytes(id).empty(); });
    EXPECT_EQ(hole || !utf8::is_valid(text), item["decoded"] == "\uFFFD") << item;
    if (item["decoded"] != "\uFFFD") {
      EXPECT_EQ(text, item["decoded"]);
    }
  }
}

TEST(NeoxVocabulary, EqualsRecordedCases) {
  const auto file = test::shared("tokenizer/20B_tokenizer.json");
  RWKV_SKIP_WITHOUT(file);
  const TokenizerPtr tokenizer = load_tokenizer(file);
  EXPECT_EQ(tokenizer->kind(), "bpe");
  EXPECT_EQ(tokenizer->size(), 50'277);
  for (const json& item : cases("tokenizer-20b.json")) {
    EXPECT_EQ(tokenizer->encode(item["text"].get<std::string>()), item["ids"].get<Ids>()) << item["text"];
  }
  for (const std::string name : {"tokenizer-20b.json", "tokenizer-20b-decode.json"}) {
    for (const json& item : cases(name)) {
      EXPECT_EQ(utf8::replace_invalid(tokenizer->decode(item["ids"].get<Ids>())), item["decoded"]) << item;
    }
  }
}

TEST(ByteTokenizer, TakesEveryByteAsAToken) {
  const ByteTokenizer tokenizer;
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const Ids ids = tokenizer.encode(bytes);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(ids[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(tokenizer.decode(ids), bytes);
  EXPECT_EQ(tokenizer.bytes(256), "");
  EXPECT_EQ(tokenizer.bytes(-1), "");
}

TEST(StreamDecoder, EqualsReplacementOfTheWhole) {
  const auto tokenizer = std::make_shared<ByteTokenizer>();
  std::mt19937 random(1);
  for (int round = 0; round < 5'000; ++round) {
    std::string bytes = test::random_text(random, 6);
    for (unsigned i = random() % 4; i > 0; --i) bytes[random() % bytes.size()] = static_cast<char>(random());  // damage
    StreamDecoder stream(tokenizer);
    std::string text;
    for (const Token id : tokenizer->encode(bytes)) {
      const std::string piece = stream.push(id);
      ASSERT_TRUE(utf8::is_valid(piece));
      text += piece;
    }
    ASSERT_EQ(text + stream.flush(), utf8::replace_invalid(bytes));
    ASSERT_EQ(stream.flush(), "");
  }
}

TEST(StreamDecoder, EqualsReplacementWithTokensOfManyBytes) {
  const TokenizerPtr tokenizer = test::small_world();
  std::mt19937 random(2);
  for (int round = 0; round < 5'000; ++round) {
    Ids ids;
    for (int i = 0; i < 10; ++i) ids.push_back(static_cast<Token>(random() % static_cast<unsigned>(tokenizer->size() + 2)));
    StreamDecoder stream(tokenizer);
    std::string text;
    for (const Token id : ids) text += stream.push(id);
    ASSERT_EQ(text + stream.flush(), utf8::replace_invalid(tokenizer->decode(ids)));
  }
}

TEST(StreamDecoder, HoldsBackOnlyAsLongAsACharacterIsPartial) {
  StreamDecoder stream(std::make_shared<ByteTokenizer>());
  const std::vector<std::pair<Token, std::string>> steps = {
      {0xF0, ""},       {0x9F, ""}, {0x99, ""},       {0x82, "\U0001F642"},
      {0xE2, ""},       {0x82, ""}, {'a', "\uFFFDa"},  // can no longer become valid
      {0xFF, "\uFFFD"}, {0xC3, ""},
  };
  for (const auto& [byte, text] : steps) EXPECT_EQ(stream.push(byte), text) << byte;
  EXPECT_EQ(stream.flush(), "\uFFFD");
}

TEST(ParseTokenizer, SaysWhatAFileLooksLike) {
  EXPECT_TRUE(contains(test::error_of(""), "is empty"));
  EXPECT_TRUE(contains(test::error_of("<html>"), "begins with \"<html>\""));
  EXPECT_TRUE(contains(test::error_of("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"));
}

}  // namespace
}  // namespace rwkv
