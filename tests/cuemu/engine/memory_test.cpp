// SPDX-License-Identifier: Apache-2.0
// Too little device memory: found before a file is read, with what would fit; afterwards nothing is lost.
#include <regex>
#include <set>
#include <utility>

#include "cuemu/engine/machine.h"

namespace rwkv::test {
namespace {

constexpr const char* kPlacements[] = {"cuda fp32", "cuda fp32 *1 -> cpu fp32", "cuda fp16 -> cuda:1 fp16i8", "cuda fp16i4 *1+",
                                       "cpu fp32 *1 -> cuda bf16 *1+"};

class CudaMemoryOf : public CudaMachine {
 protected:
  // Puts a limit on allocations that begins at none and grows until `work` needs no more. Returns how often it failed.
  template <class Work>
  static int fail_at_every_allocation(const Work& work) {
    for (int n = 0;; ++n) {
      EXPECT_LT(n, 1000);
      cuemu::config().allocations_left = n;
      try {
        work();
        cuemu::config().allocations_left = INT64_MAX;
        return n;
      } catch (const OutOfMemoryError& error) {
        EXPECT_NE(std::string(error.what()).find("out of memory allocating"), std::string::npos) << error.what();
      }
    }
  }
};

// After each failure everything is released (the program reports leaks), and the next attempt gets further.
TEST_F(CudaMemoryOf, LoadingFailsCleanlyAtEveryAllocation) {
  for (const VersionModel& version : kVersionModels) {
    for (const char* placement : kPlacements) {
      const int n = fail_at_every_allocation([&] { const Model model(model_file(version.file), placement); });
      EXPECT_GE(n, 2) << placement;
      EXPECT_LE(n, 8) << placement;  // weights, workspace, scratch, two areas: each once, not for each block
    }
  }
}

TEST_F(CudaMemoryOf, AStateThatDoesNotFitHarmsNothing) {
  for (const char* placement : kPlacements) {
    const Model model(model_file("random-v7"), placement);
    State made, state = model.new_state();
    const int n = fail_at_every_allocation([&] { made = model.new_state(); });
    EXPECT_GE(n, 1) << placement;
    EXPECT_EQ(made, state) << placement;
    feed(model, state, std::vector<Token>{1, 2, 3}, {2});
    const State before = state;
    State copy;
    EXPECT_EQ(fail_at_every_allocation([&] { copy = state; }), n) << placement;
    EXPECT_EQ(copy, before) << placement;
  }
}

// Two rounds of many rows, few rows, logits for all, a batch.
TEST_F(CudaMemoryOf, AForwardAllocatesNothing) {
  const std::pair<const char*, const char*> cases[] = {{"random-v4", "cuda fp32"},
                                                       {"random-v5.2", "cuda fp16i4 *1+"},
                                                       {"random-v6", "cuda fp32 *1 -> cpu fp32"},
                                                       {"random-v7", "cuda fp16 *2 -> cuda:1 fp16i8"}};
  for (const auto& [file, placement] : cases) {
    const Model model(model_file(file), placement);
    const std::size_t n_vocab = model.config().n_vocab;
    std::vector<State> states(20, model.new_state());
    cuemu::config().allocations_left = 0;
    std::vector<Token> tokens(257);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>(i % n_vocab);
    std::vector<float> logits(17 * n_vocab);
    model.forward(tokens, states[0], {});
    model.forward(std::span(tokens).first(17), states[0], logits);
    std::vector<Sequence> batch;
    for (State& state : states) batch.push_back({std::span(tokens).first(1), &state, std::span(logits).first(n_vocab)});
    model.forward(batch);
    cuemu::config().allocations_left = INT64_MAX;
  }
}

// From within another one, as from another thread: so it needs a workspace of its own.
TEST_F(CudaMemoryOf, AForwardBesideAnotherOneThatDoesNotFitLeavesItsStateAsItWas) {
  for (const char* placement : {"cuda fp32 *1 -> cpu fp32", "cuda fp32 -> cuda:1 fp32"}) {
    const Model model(model_file("random-v7"), placement);
    const std::vector<Token> tokens(100, 5);  // enough to be polled
    State outer = model.new_state(), inner = model.new_state(), alone = model.new_state();
    std::vector<float> logits(model.config().n_vocab), expected(logits);
    model.forward(tokens, alone, expected);
    const State fresh = inner;
    bool first = true;
    int n = -1;
    model.forward(tokens, outer, logits, [&] {
      if (!std::exchange(first, false)) return;
      n = fail_at_every_allocation([&] {
        EXPECT_EQ(inner, fresh) << placement;
        model.forward(std::span(tokens).first(3), inner, {});
      });
    });
    EXPECT_GE(n, 1) << placement;
    EXPECT_EQ(inner.tokens_seen(), 3);
    EXPECT_EQ(logits, expected) << placement;
    EXPECT_EQ(outer, alone) << placement;
  }
}

class CudaMemoryLimit : public CudaMemoryOf {
 protected:
  static std::string load_with(std::size_t bytes, const std::string& strategy) {
    cuemu::config().device_memory = bytes;
    return error_of<OutOfMemoryError>(strategy, "random-v6");
  }

  // The least memory that the strategy loads with.
  static std::size_t least_for(const std::string& strategy) {
    std::size_t too_little = 0, enough = std::size_t{1} << 30;
    while (enough - too_little > 4096) {
      const std::size_t middle = too_little + (enough - too_little) / 2;
      (load_with(middle, strategy).empty() ? enough : too_little) = middle;
    }
    return enough;
  }

  static std::vector<std::string> quoted(const std::string& text) {
    static const std::regex kQuoted("\"([^\"]+)\"");
    std::vector<std::string> all;
    for (std::sregex_iterator i(text.begin(), text.end(), kQuoted), end; i != end; ++i) all.push_back((*i)[1]);
    return all;
  }
};

TEST_F(CudaMemoryLimit, NamesStrategiesThatFit) {
  for (const std::string type : {"fp32", "fp16i8"}) {
    const std::string cuda = "cuda " + type;
    std::set<std::string> named;
    for (int blocks = 3; blocks >= 0; --blocks) {
      // A page less than one block more needs; the first time, than all with the head.
      const std::string more = blocks == 3 ? cuda : cuda + " *" + std::to_string(blocks + 1) + " -> cpu fp32";
      const std::size_t bytes = least_for(more) - 8192;
      const std::string error = load_with(bytes, cuda);
      std::smatch found;
      ASSERT_TRUE(std::regex_search(error, found, std::regex("MiB are free: ([0-9]+) of 3 blocks fit; use "))) << error;
      EXPECT_EQ(std::stoi(found[1]), blocks) << error;
      EXPECT_NE(load_with(bytes, more), "");
      for (const std::string& strategy : quoted(error)) {
        named.insert(strategy);
        EXPECT_EQ(load_with(bytes, strategy), "");
        const Model model(model_file("random-v6"), strategy);
        State state = model.new_state();
        feed(model, state, std::vector<Token>(20, 3), {17, 1});
      }
    }
    for (const char* some : {" *3 -> cpu fp32", " *2 -> cpu fp32", " *1 -> cpu fp32"}) EXPECT_TRUE(named.contains(cuda + some));
    EXPECT_TRUE(named.contains(cuda + " *2+") || named.contains(cuda + " *1+") || named.contains(cuda + " *0+"));
  }
}

// What is needed is more than what is free, and with so much free it loads.
TEST_F(CudaMemoryLimit, TheNumbersOfTheErrorAddUp) {
  const std::regex form(
      ": needs ([0-9]+) MiB \\(([0-9]+) of them for its weights\\) and ([0-9]+) MiB for the driver on cuda:0 \\(.*\\), "
      "([0-9]+) MiB are free: ");
  const std::size_t least = least_for("cuda fp32");
  for (const std::size_t bytes : {least - 8192, least / 2, std::size_t{16} << 20}) {
    const std::string error = load_with(bytes, "cuda fp32");
    std::smatch found;
    ASSERT_TRUE(std::regex_search(error, found, form)) << error;
    const std::size_t needed = std::stoul(found[1]) + std::stoul(found[3]);
    EXPECT_GT(needed, std::stoul(found[4])) << error;
    EXPECT_EQ(std::stoul(found[4]), bytes >> 20) << error;
    EXPECT_EQ(load_with(needed << 20, "cuda fp32"), "");
    EXPECT_NE(load_with((needed - 1) << 20, "cuda fp32"), "");
  }
}

// What is said to be enough is, to the last allocation.
TEST_F(CudaMemoryLimit, WhatIsLoadedAlsoRuns) {
  for (const char* placement : kPlacements) {
    cuemu::config().device_memory = least_for(placement);
    const Model model(model_file("random-v6"), placement);
    State state = model.new_state();
    feed(model, state, std::vector<Token>(20, 3), {17, 1});
  }
}

}  // namespace
}  // namespace rwkv::test
