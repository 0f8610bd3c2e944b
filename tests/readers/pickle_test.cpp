// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/pickle.h"

#include "allocations.h"
#include "checkpoint_bytes.h"

namespace rwkv::test {
namespace {

using namespace std::string_literals;
using pickle::Kind;

pickle::Document read_pickle(std::string_view bytes) {
  const auto source = source_of(bytes);
  pickle::Input input(*source, 0, bytes.size());
  return pickle::read(input);
}

std::string pickle_error(std::string_view bytes) {
  try {
    (void)read_pickle(bytes);
  } catch (const CheckpointError& error) {
    return error.what();
  }
  return "";
}

std::string repeated(std::string_view what, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += what;
  return out;
}

TEST(Pickle, ReadsIntegersOfAllSizes) {
  for (const auto& [bytes, value] :
       {std::pair("K\xff."s, std::int64_t(255)), std::pair("M\x01\x02."s, std::int64_t(513)),
        std::pair("J\xfe\xff\xff\xff."s, std::int64_t(-2)), std::pair("\x8a\0."s, std::int64_t(0)),
        std::pair("\x8a\x01\x80."s, std::int64_t(-128)), std::pair("\x8a\x02\x80\0."s, std::int64_t(128)),
        std::pair("\x8a\x08\0\0\0\0\0\0\0\x80."s, std::numeric_limits<std::int64_t>::min())}) {
    const auto document = read_pickle(bytes);
    EXPECT_EQ(document.kind(document.top), Kind::integer);
    EXPECT_EQ(document.integer(document.top), value);
  }
}

TEST(Pickle, ReadsNestedValues) {
  const auto document = read_pickle(
      "\x80\x02}(X\1\0\0\0a](K\1N\x88"
      "eX\1\0\0\0b)u."s);
  const auto items = document.items(document.top);
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(document.text(items[0]), "a");
  EXPECT_EQ(document.kind(document.items(items[1])[1]), Kind::none);
  EXPECT_EQ(document.kind(document.items(items[1])[2]), Kind::boolean);
  EXPECT_EQ(document.kind(items[3]), Kind::tuple);
}

TEST(Pickle, StopsAtItsEnd) {
  const auto source = source_of("K\1.K\2.");
  pickle::Input input(*source, 0, 6);
  EXPECT_EQ(pickle::read(input).top, 0u);
  EXPECT_EQ(input.at(), 3u);
  EXPECT_EQ(pickle::read(input).integer(0), 2);
  EXPECT_EQ(input.left(), 0u);
}

TEST(Pickle, NamesOpcodeAndByte) {
  EXPECT_EQ(pickle_error("\x80\x02)0."),
            "pickle at byte 3, opcode POP: code 48 is not one that a model file needs; nothing in a "
            "file is ever executed");
}

// A slot below the limit of the memo but beyond what the pickle can have filled: 4 MB for five bytes.
TEST(Pickle, RefusesMemoSlotsFarAhead) {
  EXPECT_NE(pickle_error(")r\x3f\x42\x0f\0."s).find("memo slot 999999 is out of order"), std::string::npos);
}

TEST(Pickle, LimitsTheStack) {
  EXPECT_EQ(pickle_error(repeated("N", 100000)).find("without STOP") == std::string::npos, false);
  EXPECT_NE(pickle_error(repeated("N", 100001)).find("more than 100000 values on the stack"), std::string::npos);
}

TEST(Pickle, LimitsTheNumberOfValues) {
  const std::string lists = "(" + repeated("]", 50000) + "tq\0"s;
  EXPECT_NE(pickle_error("(" + repeated(lists, 50)).find("more than 2000000 values"), std::string::npos);
}

TEST(Pickle, LimitsOperations) {
  EXPECT_NE(pickle_error(repeated("]", 1) + repeated("Na", 5'000'001)).find("more than 10000000 operations"),
            std::string::npos);
}

TEST(Pickle, LimitsTextAndNames) {
  EXPECT_EQ(pickle_error("X\0\0\1\0"s + std::string(65536, 'a') + "."), "");
  EXPECT_NE(pickle_error("X\1\0\1\0"s + std::string(65537, 'a') + ".").find("a text of 65537 bytes"), std::string::npos);
  EXPECT_NE(pickle_error("c" + std::string(70000, 'a') + "\nb\n.").find("a name longer than"), std::string::npos);
}

TEST(Pickle, HostileProgramsStayInBoundedMemory) {
  const Allocations allocations;
  const std::string lists = "(" + repeated("]", 50000) + "tq\0"s;
  (void)pickle_error("(" + repeated(lists, 50));
  EXPECT_LT(allocations.peak(), std::size_t(160) << 20);
}

// 1,600 names for one storage in a file that is a sixteenth of their size.
TEST(Pickle, SharingIsLimitedByTheFile) {
  const std::string tensor =
      "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpu"
      "M\0\x20tQK\0M\0\x20\x85K\1\x85tRq\1"s;
  const std::string head = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.M\xe9\x03.}."s;
  const auto file = [&](int names) {
    std::string out = head + "}(X\5\0\0\0first"s + tensor;
    for (int i = 0; i < names; ++i) out += "X\4\0\0\0"s + std::to_string(1000 + i) + "h\1";
    return out + "u.](X\1\0\0\0ae."s + "\0\x20\0\0\0\0\0\0"s + std::string(4 * 8192, 'x');
  };
  EXPECT_EQ(error_of(file(10)), "");
  EXPECT_NE(error_of(file(1600)).find("bytes in a file of"), std::string::npos);
}

}  // namespace
}  // namespace rwkv::test
