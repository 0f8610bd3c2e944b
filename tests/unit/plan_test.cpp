// SPDX-License-Identifier: Apache-2.0
// Placements against the reference's table, and the rules one by one.
#include "plan/plan.h"

#include "json.h"
#include "test_data.h"

namespace rwkv {
namespace {

// As the table writes it: "cuda fp16 u8 streamed". The reference ignores i4 and i3 there.
std::string table_text(const Placement& p) {
  const std::string type(name_of(p.type));
  return name_of(p.device) + " " + type + " " + (p.quantization == Quantization::i8 ? "u8" : type) +
         (p.streamed ? " streamed" : "");
}

std::vector<std::string> table_rows(const nlohmann::json& runs) {
  std::vector<std::string> rows;
  for (const auto& run : runs) {  // [layers, device, activations, weights, streamed]
    const std::string device = run[1] == "cuda:0" ? "cuda" : run[1];
    const std::string row = device + " " + std::string(run[2]) + " " + std::string(run[3]) + (run[4] ? " streamed" : "");
    rows.insert(rows.end(), run[0].get<std::size_t>(), row);
  }
  return rows;
}

std::vector<std::string> placed(const std::string& text, int n_layer) {
  std::vector<std::string> rows;
  for (const Placement& p : place(parse_strategy(text), n_layer)) rows.push_back(table_text(p));
  return rows;
}

std::string runs_of(const std::string& text, int n_layer) {
  std::string out, last;
  int count = 0;
  auto flush = [&] { out += count ? (out.empty() ? "" : ", ") + std::to_string(count) + " " + last : ""; };
  for (const Placement& p : place(parse_strategy(text), n_layer)) {
    if (to_text(p) != last) flush(), last = to_text(p), count = 0;
    ++count;
  }
  flush();
  return out;
}

TEST(Plan, EqualsTheReferenceTable) {
  const auto cases = test::read_json(test::data("cases/strategies.json"));
  ASSERT_EQ(cases.size(), 138u);
  for (const auto& c : cases) {
    const std::string text = c["strategy"];
    const int n_layer = c["n_layer"];
    SCOPED_TRACE(text + ", " + std::to_string(n_layer) + " layers");
    if (c["layers"].is_null()) {
      EXPECT_THROW(placed(text, n_layer), StrategyError);
    } else {
      EXPECT_EQ(placed(text, n_layer), table_rows(c["layers"]));
    }
  }
}

TEST(Plan, HeadIsOneMoreLayer) { EXPECT_EQ(runs_of("cpu fp32", 1), "2 cpu fp32"); }

TEST(Plan, PartsWithoutACountShareTheRest) { EXPECT_EQ(runs_of("cuda fp16 -> cpu fp32", 12), "6 cuda fp16, 7 cpu fp32"); }

TEST(Plan, LastPartTakesTheRemainingLayersEvenWithACount) {
  EXPECT_EQ(runs_of("cuda fp16 *2 -> cuda:1 fp16 *1", 12), "2 cuda fp16, 11 cuda:1 fp16");
}

TEST(Plan, LastPlusStreamsTheRest) {
  EXPECT_EQ(runs_of("cuda fp16 *1+ -> cuda:1 fp16i8 *2+ -> cpu fp32", 12),
            "1 cuda fp16, 2 cuda:1 fp16i8, 10 cuda:1 fp16i8 streamed");
}

TEST(Plan, KeepsRequestedQuantisation) { EXPECT_EQ(runs_of("cuda fp16i4 *1 -> cpu fp32i3", 2), "1 cuda fp16i4, 2 cpu fp32i3"); }

TEST(Plan, HugeCountsDoNotOverflow) { EXPECT_EQ(runs_of("cuda fp16 *2147483647 -> cpu fp32 *2147483647", 3), "4 cuda fp16"); }

TEST(Plan, ZeroBesidePartsWithoutCountIsRefused) {
  try {
    (void)place(parse_strategy("cpu fp32 -> cuda fp16 *0"), 12);
    FAIL() << "accepted";
  } catch (const StrategyError& e) {
    EXPECT_STREQ(
        e.what(),
        "strategy \"cpu fp32 -> cuda fp16 *0\": \"*0\" in the part at column 13 beside parts without a count; leave the "
        "part out");
  }
  EXPECT_EQ(runs_of("cuda fp16 *0 -> cpu fp32 *1", 3), "4 cpu fp32");
}

TEST(Plan, AutoMustBeResolvedFirst) {
  EXPECT_THROW((void)place(parse_strategy("auto"), 3), StrategyError);
  EXPECT_THROW((void)place(parse_strategy("cpu fp32"), 0), ArgumentError);
}

}  // namespace
}  // namespace rwkv
