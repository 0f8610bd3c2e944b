// SPDX-License-Identifier: Apache-2.0
// Stop strings over pieces of any size.
#include "stop_strings.h"

#include <gtest/gtest.h>
#include <rwkv/error.h>

namespace rwkv {
namespace {

// Pieces joined by "|", then "!" and the stop string, or "." and the flushed rest.
std::string run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopStrings strings(stops);
  std::string out;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    out += (i == 0 ? "" : "|") + strings.push(pieces[i]);
    if (!strings.met().empty()) return out + "!" + strings.met();
  }
  return out + "." + strings.flush();
}

TEST(StopStrings, NothingIsHeldBackWithoutThem) { EXPECT_EQ(run({}, {"a", "b"}), "a|b."); }

TEST(StopStrings, TextEndsInFrontOfTheString) { EXPECT_EQ(run({"\nUser:"}, {"Hi.\nUser: more"}), "Hi.!\nUser:"); }

TEST(StopStrings, ABeginningIsHeldBackAndCompletedLater) {
  EXPECT_EQ(run({"\nUser:"}, {"Hi.", "\n", "Us", "er", ": x"}), "Hi.||||!\nUser:");
}

TEST(StopStrings, ABeginningThatGoesOnDifferentlyIsOutput) {
  EXPECT_EQ(run({"\nUser:"}, {"Hi.\n", "Us", "ual"}), "Hi.||\nUsual.");
}

TEST(StopStrings, AHeldBackEndIsFlushed) { EXPECT_EQ(run({"\nUser:"}, {"Hi.\nUs"}), "Hi..\nUs"); }

TEST(StopStrings, SelfOverlapIsFound) {
  EXPECT_EQ(run({"aab"}, {"a", "a", "a", "b"}), "||a|!aab");
  EXPECT_EQ(run({"abab"}, {"aba", "bc"}), "|!abab");
}

TEST(StopStrings, TheFirstToBeCompleteWins) {
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}), "xa!bc");
  EXPECT_EQ(run({"abcd", "bc"}, {"xab", "cd"}), "x|a!bc");
}

TEST(StopStrings, OfThoseThatEndTogetherTheLongestWins) {
  EXPECT_EQ(run({"c", "abc", "bc"}, {"xabc"}), "x!abc");
  EXPECT_EQ(run({"c", "abc", "bc"}, {"xa", "b", "c"}), "x||!abc");
}

TEST(StopStrings, NothingComesOutAfterTheEnd) {
  StopStrings strings({"."});
  EXPECT_EQ(strings.push("a.b"), "a");
  EXPECT_EQ(strings.push("c"), "");
  EXPECT_EQ(strings.flush(), "");
}

TEST(StopStrings, CharactersAreNotCut) {
  // The stop string begins with the bytes e2 80, as many other characters do: only whole characters may be held back.
  EXPECT_EQ(run({"\u2014x"}, {"a\u2013", "b"}), "a\u2013|b.");
}

TEST(StopStrings, EveryWayToCutGivesTheSameText) {
  const std::string text = "abcabcabdabcabx";
  for (std::size_t mask = 0; mask < (std::size_t{1} << (text.size() - 1)); ++mask) {
    StopStrings strings({"abcabd", "dab"});
    std::string out, piece;
    for (std::size_t i = 0; i < text.size(); ++i) {
      piece += text[i];
      if (i + 1 < text.size() && !(mask >> i & 1)) continue;
      out += strings.push(piece);
      piece.clear();
    }
    ASSERT_EQ(out + strings.flush(), "abc") << mask;
    ASSERT_EQ(strings.met(), "abcabd") << mask;
  }
}

TEST(StopStrings, EmptyAndBrokenStringsAreRefused) {
  EXPECT_THROW(StopStrings({"a", ""}), ArgumentError);
  EXPECT_THROW(StopStrings({"\x80"}), ArgumentError);
  EXPECT_THROW(StopStrings({"\xe2\x80"}), ArgumentError);
}

}  // namespace
}  // namespace rwkv
