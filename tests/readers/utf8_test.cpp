// SPDX-License-Identifier: Apache-2.0
// Strict UTF-8: what is valid, what is held back, what is replaced.
#include "text/utf8.h"

#include <gtest/gtest.h>

namespace rwkv::utf8 {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, AcceptsFirstAndLastCharacterOfEverySize) {
  for (const std::string_view text : {"\x00"sv, "\x7F"sv, "\xC2\x80"sv, "\xDF\xBF"sv, "\xE0\xA0\x80"sv, "\xED\x9F\xBF"sv,
                                      "\xEE\x80\x80"sv, "\xEF\xBF\xBF"sv, "\xF0\x90\x80\x80"sv, "\xF4\x8F\xBF\xBF"sv}) {
    EXPECT_TRUE(is_valid(text));
    EXPECT_EQ(incomplete_suffix(text), 0u);
  }
}

TEST(Utf8, RefusesOverlongSurrogatesAndTooLarge) {
  for (const std::string_view text : {"\xC0\x80"sv, "\xC1\xBF"sv, "\xE0\x9F\xBF"sv, "\xED\xA0\x80"sv, "\xF0\x8F\xBF\xBF"sv,
                                      "\xF4\x90\x80\x80"sv, "\xF5\x80\x80\x80"sv, "\xFF"sv, "\x80"sv}) {
    EXPECT_FALSE(is_valid(text));
    EXPECT_EQ(incomplete_suffix(text), 0u);  // can never become valid
  }
}

TEST(Utf8, HoldsBackOnlyWhatMayBecomeValid) {
  EXPECT_EQ(incomplete_suffix("a\xC3"), 1u);
  EXPECT_EQ(incomplete_suffix("\xE2\x82"), 2u);
  EXPECT_EQ(incomplete_suffix("\xF0\x9F\x99"), 3u);
  EXPECT_EQ(incomplete_suffix("\xE0\x80"), 0u);
  EXPECT_EQ(incomplete_suffix("\xED\xA0"), 0u);
  EXPECT_EQ(incomplete_suffix("\xF4\x90"), 0u);
  EXPECT_EQ(incomplete_suffix("\xC3\xA4"), 0u);
  EXPECT_EQ(incomplete_suffix("\xA4\xA4\xA4\xA4"), 0u);
}

TEST(Utf8, ReplacesMaximalSubparts) {
  EXPECT_EQ(replace_invalid("a\xF0\x9F\x99z"), "a\uFFFDz");          // one truncated character
  EXPECT_EQ(replace_invalid("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // as Python does
  EXPECT_EQ(replace_invalid("\xF0\x80\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(replace_invalid("\xE2\x82\xE2\x82\xAC\xFE"), "\uFFFD\u20AC\uFFFD");
}

TEST(Utf8, EncodesEveryScalarValue) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code == 0xD800) code = 0xE000;
    std::string text;
    append(text, code);
    const Character character = first_character(text);
    ASSERT_EQ(character.status, Status::complete);
    ASSERT_EQ(character.code, code);
    ASSERT_EQ(character.size, text.size());
  }
}

}  // namespace
}  // namespace rwkv::utf8
