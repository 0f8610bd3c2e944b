// SPDX-License-Identifier: Apache-2.0
// Strategies on whole models: stages of different types, "auto", and what this build cannot do.
#include <rwkv/model.h>

#include <algorithm>

#include "golden/golden.h"
#include "unit/made_checkpoint.h"

namespace rwkv::test {
namespace {

std::vector<float> last_logits(const Model& model) {
  State state = model.new_state();
  std::vector<float> logits(model.config().n_vocab);
  model.forward(std::vector<Token>{3, 1, 4, 1, 5}, state, logits);
  return logits;
}

// The file's matrices rounded to bf16 from some layer on, then run in fp32: what a mixed strategy must equal.
MadeCheckpoint rounded(MadeCheckpoint made, std::initializer_list<const char*> prefixes) {
  for (auto& [name, tensor] : made.tensors) {
    const bool matrix = tensor.shape.size() > 1 && tensor.shape[0] > 1 && name.find("time_faaaa") == name.npos &&
                        name.find("r_k") == name.npos && !name.ends_with("time_decay");
    if (!matrix || std::ranges::none_of(prefixes, [&](const char* p) { return name.starts_with(p); })) continue;
    for (float& x : tensor.values) {
      const auto bits = std::bit_cast<std::uint32_t>(x);
      x = std::bit_cast<float>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u);
    }
  }
  return made;
}

TEST(Placement, StagesOfDifferentTypesRoundOnlyTheirOwnLayers) {
  for (const int version : {4, 5, 6, 7}) {
    const MadeCheckpoint made(version);
    const Model mixed(made.write("mixed"), "cpu fp32 *1 -> cpu bf16");
    const Model expected(rounded(made, {"blocks.1", "head"}).write("rounded"), "cpu fp32");
    // The same numbers; rounding differs where the compiler fuses the last products of a row. A wrong type shows from 1e-3.
    EXPECT_LE(max_difference(last_logits(mixed), last_logits(expected)), 1e-5) << version;
    EXPECT_NE(mixed.placement().find("fp32: blocks 0-0"), std::string::npos) << mixed.placement();
    EXPECT_NE(mixed.placement().find("bf16: blocks 1-1, head"), std::string::npos) << mixed.placement();
  }
}

TEST(Placement, AutoTakesTheTypeOfTheFile) {
  EXPECT_NE(Model(model_file("random-v7-h64-bf16"), "auto").placement().find("bf16"), std::string::npos);
  EXPECT_NE(Model(model_file("random-v7-f16"), "auto").placement().find("fp16"), std::string::npos);
  EXPECT_NE(Model(model_file("random-v7"), "auto").placement().find("fp32"), std::string::npos);
}

TEST(Placement, WhatThisBuildCannotDoSaysWhatToDo) {
  const auto path = model_file("random-v7");
  const auto device_error = [&](const char* strategy) {
    return message_of<DeviceError>([&] { const Model model(path, strategy); });
  };
  EXPECT_NE(device_error("cuda fp16").find("use \"cpu fp32\""), std::string::npos);
  EXPECT_NE(device_error("cpu fp32 *1 -> cuda:1 fp16").find("cuda:1"), std::string::npos);
  EXPECT_NE(device_error("mps fp16").find("use cpu"), std::string::npos);
  EXPECT_THROW(Model(path, "cpu fp16i3"), StrategyError);
}

TEST(Placement, WrongTokensAndLogitsChangeNothing) {
  const Model model(model_file("random-v6"), "cpu fp32");
  State state = model.new_state();
  std::vector<float> few(5);
  EXPECT_THROW(model.forward({}, state, {}), TokenError);
  EXPECT_THROW(model.forward(std::vector<Token>{1, -1}, state, {}), TokenError);
  EXPECT_THROW(model.forward(std::vector<Token>{97}, state, {}), TokenError);
  EXPECT_THROW(model.forward(std::vector<Token>{1}, state, few), ArgumentError);
  State none;
  EXPECT_THROW(model.forward(std::vector<Token>{1}, none, {}), StateError);
  EXPECT_EQ(state.tokens_seen(), 0);
  EXPECT_EQ(max_difference(state.arrays()[0].values, model.new_state().arrays()[0].values), 0.0);
}

}  // namespace
}  // namespace rwkv::test
