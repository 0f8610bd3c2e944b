// SPDX-License-Identifier: Apache-2.0
// The grammar of strategies and the wording of its errors.
#include "plan/strategy.h"

#include <gtest/gtest.h>

namespace rwkv {
namespace {

std::string error_of(std::string_view text) {
  try {
    (void)parse_strategy(text);
  } catch (const StrategyError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Strategy, ReadsDeviceTypeQuantisationAndCount) {
  const Strategy s = parse_strategy("cuda:1 bf16i8 *10+ ->cpu fp32");
  ASSERT_EQ(s.segments.size(), 2u);
  EXPECT_EQ(s.segments[0].device, (DeviceId{DeviceKind::cuda, 1}));
  EXPECT_EQ(s.segments[0].type, DType::bf16);
  EXPECT_EQ(s.segments[0].quantization, Quantization::i8);
  EXPECT_EQ(s.segments[0].count, 10);
  EXPECT_TRUE(s.segments[0].streaming);
  EXPECT_EQ(s.segments[1].device.kind, DeviceKind::cpu);
  EXPECT_EQ(s.segments[1].count, std::nullopt);
  EXPECT_EQ(s.segments[1].column, 22);
}

TEST(Strategy, CudaAloneIsTheFirstCard) {
  EXPECT_EQ(parse_strategy("cuda fp16").segments[0].device, parse_strategy("cuda:0 fp16").segments[0].device);
}

TEST(Strategy, EveryDeviceTypeAndQuantisationComesBackByName) {
  for (const std::string device : {"cpu", "cuda", "cuda:7", "mps", "dml"})
    for (const std::string type : {"fp32", "fp16", "bf16"})
      for (const std::string quantization : {"", "i8", "i4", "i3"}) {
        const Segment s = parse_strategy(device + " " + type + quantization).segments[0];
        EXPECT_EQ(name_of(s.device) + " " + std::string(name_of(*s.type)) + std::string(name_of(s.quantization)),
                  device + " " + type + quantization);
      }
}

TEST(Strategy, UnknownWordsAreNamedWithColumnAndAdvice) {
  EXPECT_EQ(error_of("cuda fp61"),
            "strategy \"cuda fp61\": unknown type \"fp61\" at column 6; use fp32, fp16, bf16 (add i8 or i4 for "
            "quantised weights)");
  EXPECT_EQ(error_of("cpu fp32 -> gpu fp16"),
            "strategy \"cpu fp32 -> gpu fp16\": unknown device \"gpu\" at column 13; use cpu, cuda, cuda:N or auto");
  EXPECT_EQ(error_of("CPU fp32"), "strategy \"CPU fp32\": unknown device \"CPU\" at column 1; write cpu in small letters");
  EXPECT_EQ(error_of("cpu fp16i5"),
            "strategy \"cpu fp16i5\": unknown quantisation in \"fp16i5\" at column 5; use i8 or i4 after the type, or nothing");
}

TEST(Strategy, MissingPartsAreNamed) {
  EXPECT_EQ(
      error_of("cpu"),
      "strategy \"cpu\": missing type after \"cpu\" at column 4; use fp32, fp16, bf16 (add i8 or i4 for quantised weights)");
  EXPECT_EQ(error_of(" "), "strategy \" \": empty; write for example \"cpu fp32\" or \"auto\"");
  EXPECT_EQ(error_of("cpu fp32 ->"),
            "strategy \"cpu fp32 ->\": missing device at column 12; each part around \"->\" needs a "
            "device and a type");
  EXPECT_EQ(error_of("cuda: fp16"), "strategy \"cuda: fp16\": missing device number at column 6; use cuda:0, cuda:1, ...");
  EXPECT_EQ(error_of("cpu fp32 *"),
            "strategy \"cpu fp32 *\": missing number of layers at column 11; use *N for N layers, *N+ to stream the rest");
}

TEST(Strategy, WrongPunctuationIsExplained) {
  EXPECT_EQ(error_of("cpu fp32,cuda fp16"),
            "strategy \"cpu fp32,cuda fp16\": unexpected \",\" at column 9; separate the parts by \"->\"");
  EXPECT_EQ(error_of("cpu  fp32"), "strategy \"cpu  fp32\": two spaces at column 5; write one space between the words");
  EXPECT_EQ(error_of("cpu fp32*2"),
            "strategy \"cpu fp32*2\": missing space before \"*2\" at column 9; write one space in front of *");
  EXPECT_EQ(error_of("cpu:0 fp32"), "strategy \"cpu:0 fp32\": number in \"cpu:0\" at column 1; only cuda takes one; write cpu");
  EXPECT_EQ(error_of("cuda fp16 *2+ *3"),
            "strategy \"cuda fp16 *2+ *3\": unexpected \"*3\" at column 15; one count per part; "
            "write \"->\" in front of the next device");
}

TEST(Strategy, CountsAndDeviceNumbersAreChecked) {
  const std::string advice = "; use *N for N layers, *N+ to stream the rest";
  EXPECT_EQ(error_of("cpu fp32 *-1"), "strategy \"cpu fp32 *-1\": bad number of layers \"-1\" at column 11" + advice);
  EXPECT_EQ(error_of("cpu fp32 *2147483648"),
            "strategy \"cpu fp32 *2147483648\": number of layers \"2147483648\" is too large at column 11" + advice);
  EXPECT_EQ(parse_strategy("cpu fp32 *2147483647").segments[0].count, 2147483647);
  EXPECT_NE(error_of("cuda:4294967296 fp16"), "accepted");
}

TEST(Strategy, ControlCharactersAreEscapedInMessages) {
  EXPECT_EQ(error_of("cpu\tfp32"),
            "strategy \"cpu\\x09fp32\": unknown device \"cpu\\x09fp32\" at column 1; use cpu, cuda, cuda:N or auto");
}

TEST(Strategy, LengthIsLimited) {
  EXPECT_EQ(error_of(std::string(4096 - 8, ' ') + "cpu fp32"), "accepted");
  EXPECT_TRUE(error_of(std::string(4097, 'x')).ends_with("4097 characters; at most 4096"));
}

TEST(Strategy, NoPrefixOrSingleCharacterChangeCrashes) {
  const std::string text = "cuda:1 fp16i8 *10+ -> cpu fp32";
  for (std::size_t i = 0; i < text.size(); ++i) {
    (void)error_of(text.substr(0, i));
    for (int c = 0; c < 256; ++c) {
      std::string changed = text;
      changed[i] = static_cast<char>(c);
      (void)error_of(changed);
    }
  }
}

TEST(StrategyAuto, StandsAlone) {
  EXPECT_TRUE(parse_strategy("auto").automatic());
  EXPECT_EQ(parse_strategy("auto bf16").segments[0].type, DType::bf16);
  EXPECT_FALSE(parse_strategy("cpu fp32").automatic());
  EXPECT_EQ(error_of("auto *3"),
            "strategy \"auto *3\": unknown type \"*3\" at column 6; use fp32, fp16, bf16 (add i8 or i4 for "
            "quantised weights)");
  EXPECT_EQ(error_of("cpu fp32 -> auto"),
            "strategy \"cpu fp32 -> auto\": \"auto\" with other parts or a count at column 13; use "
            "it alone (auto, auto fp16), or name the devices");
}

TEST(StrategyAuto, KeepsTheTypeOfA16BitFile) {
  EXPECT_EQ(resolve_auto(parse_strategy("auto"), false, {"bf16"}), "cpu bf16");
  EXPECT_EQ(resolve_auto(parse_strategy("auto"), false, {"f16"}), "cpu fp16");
  EXPECT_EQ(resolve_auto(parse_strategy("auto"), true, {"bf16"}), "cuda bf16");
}

TEST(StrategyAuto, OtherFilesAreFp32OnTheCpuAndFp16OnCuda) {
  for (const std::string file_type : {"f32", "f64", "mixed", ""}) {
    EXPECT_EQ(resolve_auto(parse_strategy("auto"), false, {file_type}), "cpu fp32");
    EXPECT_EQ(resolve_auto(parse_strategy("auto"), true, {file_type}), "cuda fp16");
  }
}

TEST(StrategyAuto, AQuantisedFileStaysQuantised) {
  EXPECT_EQ(resolve_auto(parse_strategy("auto"), false, {"f16", Quantization::i4}), "cpu fp16i4");
  EXPECT_EQ(resolve_auto(parse_strategy("auto"), false, {"f32", Quantization::i8}), "cpu fp32i8");
  EXPECT_EQ(resolve_auto(parse_strategy("auto fp32"), false, {"f16", Quantization::i4}), "cpu fp32");
}

TEST(StrategyAuto, AskedTypeWins) {
  EXPECT_EQ(resolve_auto(parse_strategy("auto fp32i8"), true, {"bf16"}), "cuda fp32i8");
  EXPECT_EQ(resolve_auto(parse_strategy("mps fp16 *3"), true, {"bf16"}), "mps fp16 *3");
}

}  // namespace
}  // namespace rwkv
