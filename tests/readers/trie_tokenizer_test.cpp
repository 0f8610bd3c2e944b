// SPDX-License-Identifier: Apache-2.0
// The World tokenizer: its file is data, its matches are the longest.
#include "text/trie_tokenizer.h"

#include <map>

#include "tokenizer_testing.h"

namespace rwkv {
namespace {

using Ids = std::vector<Token>;
using test::contains;

std::vector<Token> encode(const std::string& lines, std::string_view text) {
  return parse_tokenizer(test::byte_lines() + lines, "vocab")->encode(text);
}

std::string error_of_line(const std::string& line) { return test::error_of(test::byte_lines() + line + "\n"); }

TEST(TrieTokenizer, TakesTheLongestToken) {
  const std::string lines = "300 'ab' 2\n301 'abcd' 4\n302 'bc' 2\n";
  EXPECT_EQ(encode(lines, "abcd"), (Ids{301}));
  EXPECT_EQ(encode(lines, "abce"), (Ids{300, 'c' + 1, 'e' + 1}));
  EXPECT_EQ(encode(lines, "abc"), (Ids{300, 'c' + 1}));
}

TEST(TrieTokenizer, EqualsSearchInAMapOnRandomBytes) {
  const TokenizerPtr tokenizer = test::small_world();
  std::map<std::string, Token, std::less<>> ids;
  for (Token id = 1; id < tokenizer->size(); ++id) ids.emplace(tokenizer->bytes(id), id);
  std::mt19937 random(1);
  const std::string letters = tokenizer->decode(tokenizer->encode("The state is read, the decay of it stays. über 天地"));
  for (int round = 0; round < 2'000; ++round) {
    std::string text = test::random_bytes(random, 4);
    for (int i = 0; i < 40; ++i) text += letters[random() % letters.size()];
    std::vector<Token> expected;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t size = std::min<std::size_t>(64, text.size() - at);
      while (!ids.contains(text.substr(at, size))) --size;
      expected.push_back(ids.at(text.substr(at, size)));
      at += size;
    }
    ASSERT_EQ(tokenizer->encode(text), expected);
  }
}

TEST(TrieTokenizer, ReturnsRandomBytesUnchanged) {
  const TokenizerPtr tokenizer = test::small_world();
  std::mt19937 random(2);
  for (std::size_t size = 0; size < 2'000; ++size) {
    const std::string bytes = test::random_bytes(random, size % 97);
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
  }
}

TEST(TrieTokenizer, ReadsWhatReprWrites) {
  const std::string lines =
      "300 '\\n\\t\\r\\\\\\'\"' 6\n301 \"it's\" 4\n302 b'\\xe5\\xa4' 2\n303 '\\xe9\\u5929\\U0001f642' 9\n304 ' a b ' 5\n";
  const auto tokenizer = parse_tokenizer(test::byte_lines() + lines, "vocab");
  EXPECT_EQ(tokenizer->bytes(300), "\n\t\r\\'\"");
  EXPECT_EQ(tokenizer->bytes(301), "it's");
  EXPECT_EQ(tokenizer->bytes(302), "\xE5\xA4");
  EXPECT_EQ(tokenizer->bytes(303), "é天🙂");
  EXPECT_EQ(tokenizer->bytes(304), " a b ");
}

TEST(TrieTokenizer, AcceptsCrlfByteOrderMarkAndMissingLastNewline) {
  std::string content = "\xEF\xBB\xBF" + test::byte_lines() + "300 'ab' 2";
  for (std::size_t at = 0; (at = content.find('\n', at)) != std::string::npos; at += 2) content.insert(at, "\r");
  EXPECT_EQ(parse_tokenizer(content, "vocab")->encode("ab"), (Ids{300}));
}

TEST(TrieTokenizer, HolesAndUnknownIdsAreEmpty) {
  const auto tokenizer = parse_tokenizer(test::byte_lines() + "300 'ab' 2\n", "vocab");
  for (const Token id : {0, 257, 299, 301, 65'535, -1, INT32_MAX, INT32_MIN}) EXPECT_EQ(tokenizer->bytes(id), "") << id;
  EXPECT_EQ(tokenizer->size(), 301);
}

TEST(TrieTokenizer, NeverEvaluatesALine) {
  EXPECT_TRUE(contains(error_of_line("300 __import__('os').system('x') 3"), "line 257: expected a literal"));
  EXPECT_TRUE(contains(error_of_line("300 'a' + 'b' 2"), "line 257: quote inside"));
  EXPECT_TRUE(contains(error_of_line("300 ('ab') 2"), "expected a literal"));
  EXPECT_TRUE(contains(error_of_line("300 f'ab' 2"), "expected a literal"));
}

TEST(TrieTokenizer, RejectsWrongLength) {
  EXPECT_TRUE(contains(error_of_line("300 'é' 1"), "line 257: the token has 2 bytes"));
}

TEST(TrieTokenizer, RejectsDuplicateTokens) {
  EXPECT_TRUE(contains(error_of_line("300 'ab' 2\n301 b'ab' 2"), "line 258: the same token as in line 257"));
}

TEST(TrieTokenizer, RejectsDuplicateIds) { EXPECT_TRUE(contains(error_of_line("98 'ab' 2"), "id 98 again, first in line 98")); }

TEST(TrieTokenizer, RejectsBadEscapes) {
  for (const std::string literal : {R"('\q')", R"('\0')", R"('\x1')", R"('\xzz')", R"('\u12')", R"('\U0011ffff')", R"('\x+1')",
                                    R"(b'\u0041')", R"('\')", R"('\N{DIGIT ONE}')"}) {
    EXPECT_NE(error_of_line("300 " + literal + " 1"), "") << literal;
  }
}

TEST(TrieTokenizer, RejectsSurrogates) { EXPECT_TRUE(contains(error_of_line("300 '\\ud800' 3"), "not a character")); }

TEST(TrieTokenizer, RejectsBrokenLiterals) {
  for (const std::string literal :
       {"'ab", "ab'", "'ab\"", "'", "b", "", "\"a\"b\"", "'a'b'", "'\xFF'", "b'\xC3\xA9'", "'\x01'"}) {
    EXPECT_NE(error_of_line("300 " + literal + " 2"), "") << literal;
  }
}

TEST(TrieTokenizer, RejectsBrokenNumbers) {
  for (const std::string line :
       {"+300 'ab' 2", "-1 'ab' 2", "3e2 'ab' 2", " 300 'ab' 2", "99999999999 'ab' 2", "1048577 'ab' 2", "300 'ab' -2",
        "300 'ab' ", "300 'ab'", "300", "", "300  'ab' 2", "300 'ab'  2"}) {
    EXPECT_TRUE(contains(error_of_line(line), "line 257: ")) << line;
  }
}

TEST(TrieTokenizer, RejectsEmptyAndLongTokens) {
  EXPECT_TRUE(contains(error_of_line("300 '' 0"), "1 to 1024 bytes, this one 0"));
  EXPECT_EQ(error_of_line("300 '" + std::string(1'024, 'x') + "' 1024"), "");
  EXPECT_TRUE(contains(error_of_line("300 '" + std::string(1'025, 'x') + "' 1025"), "this one 1025"));
}

TEST(TrieTokenizer, RejectsMissingSingleBytes) {
  EXPECT_TRUE(contains(test::error_of("1 'a' 1\n"), "no token for the single byte 0"));
}

TEST(TrieTokenizer, TruncatedFilesAreErrorsOrWholeLines) {
  const std::string content = test::byte_lines();
  for (std::size_t size = 0; size + 1 < content.size(); ++size) ASSERT_NE(test::error_of(content.substr(0, size)), "") << size;
}

}  // namespace
}  // namespace rwkv
