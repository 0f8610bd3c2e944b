// SPDX-License-Identifier: Apache-2.0
// Models on a CUDA device: which can run, and their logits and states beside those of the CPU.
#pragma once
#include <thread>
#include <utility>

#include "golden/golden.h"
#include "kernels/cuda/table.h"

namespace rwkv::test {

inline bool runs_on_cuda(int version) {
  const KernelTable& table = cuda::table();
  const void* const kernels[] = {table.rwkv4, table.rwkv5, table.rwkv6, table.rwkv7};
  return kernels[version - 4] != nullptr;
}

// One golden model of each version.
struct VersionModel {
  int version;
  const char* file;
};
inline constexpr VersionModel kVersionModels[] = {{4, "random-v4"}, {5, "random-v5.2"}, {6, "random-v6"}, {7, "random-v7"}};
inline std::ostream& operator<<(std::ostream& out, const VersionModel& model) { return out << model.file; }

inline std::string version_name(const testing::TestParamInfo<VersionModel>& info) {
  return "V" + std::to_string(info.param.version);
}

struct Result {
  std::vector<float> logits;  // [tokens, n_vocab]
  std::vector<std::vector<float>> state;
  std::size_t n_vocab = 0;
};

inline std::vector<std::vector<float>> values(const State& state) {
  std::vector<std::vector<float>> all;
  for (auto& array : state.arrays()) all.push_back(std::move(array.values));
  return all;
}

inline Result result_of(const std::string& file, const std::string& strategy, std::span<const Token> tokens,
                        std::vector<std::size_t> lengths) {
  const Model model(model_file(file), strategy);
  State state = model.new_state();
  auto logits = feed(model, state, tokens, std::move(lengths));
  return {std::move(logits), values(state), static_cast<std::size_t>(model.config().n_vocab)};
}

// As for the CPU (tests/golden/logits_test.cpp): float32 rounding of some hundred operations on logits of size 6.
inline constexpr double kLogits = 5e-5, kState = 1e-4;

// A golden text in calls of these lengths gives its float64 results. Returns how far from them logits and state are.
inline std::pair<double, double> expect_golden(const GoldenModel& of, const std::string& strategy,
                                               std::vector<std::size_t> lengths) {
  const Golden golden = load_golden(of.golden);
  const Model model(model_file(of.file), strategy);
  State state = model.new_state();
  const auto logits = feed(model, state, golden.tokens, std::move(lengths));
  const std::pair differences(max_difference(logits, golden.logits), state_difference(state, golden.state));
  EXPECT_LE(differences.first, kLogits) << strategy;
  EXPECT_LE(differences.second, kState) << strategy;
  expect_same_best(logits, golden.logits, model.config().n_vocab);
  EXPECT_EQ(state.tokens_seen(), static_cast<std::int64_t>(golden.tokens.size())) << strategy;
  return differences;
}

// Four sequences in one call, and each in calls of a token. These begin in the middle of the golden text: single tokens of
// random-v6 have heads that are almost constant, where the head norm makes small errors large. The CPU differs from itself by
// 6.5e-5 there.
inline void expect_ragged_like_alone(const Model& model, std::span<const Token> tokens) {
  constexpr double kFirstTokens = 2e-4;
  const std::size_t n_vocab = model.config().n_vocab, lengths[] = {3, 11, 1, 6};
  std::vector<State> states(4, model.new_state());
  std::vector<std::vector<float>> logits(4, std::vector<float>(n_vocab, NAN));
  std::vector<Sequence> batch;
  for (std::size_t s = 0; s < 4; ++s) batch.push_back({tokens.subspan(s, lengths[s]), &states[s], logits[s]});
  model.forward(batch);
  for (std::size_t s = 0; s < 4; ++s) {
    State alone = model.new_state();
    const auto expected = feed(model, alone, tokens.subspan(s, lengths[s]), {1});
    EXPECT_LE(max_difference(logits[s], std::span(expected).last(n_vocab)), kFirstTokens) << s;
    EXPECT_LE(state_difference(states[s], values(alone)), kState) << s;
  }
}

// Three threads at once, and one after the other: the same launches.
inline void expect_same_from_threads(const Model& model, std::span<const Token> tokens) {
  const auto run = [&](std::size_t i) {
    State state = model.new_state();
    return feed(model, state, tokens.subspan(i, 8), {1, 5, 2});
  };
  std::vector<std::vector<float>> found(3);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 3; ++i) threads.emplace_back([&, i] { found[i] = run(i); });
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(found[i], run(i)) << i;
}

}  // namespace rwkv::test

// Ends a test of a version that has no kernels yet.
#define RWKV_SKIP_UNLESS_CUDA_RUNS(version) \
  if (!runs_on_cuda(version)) GTEST_SKIP() << "skipped: CUDA has no kernels for RWKV-" << (version)
