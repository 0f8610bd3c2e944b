// SPDX-License-Identifier: Apache-2.0
// The random checkpoints with their float64 results (tests/data/models; the larger ones beside the repository), and ways to
// feed a sequence.
#pragma once
#include <gtest/gtest.h>
#include <rwkv/model.h>

#include <cstddef>
#include <filesystem>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "test_data.h"

namespace rwkv::test {

struct GoldenModel {
  const char* file;    // of the weights, without ".pth"
  const char* golden;  // of the expected results
};

inline std::ostream& operator<<(std::ostream& out, const GoldenModel& model) { return out << model.file; }

inline constexpr GoldenModel kGoldenModels[] = {
    {"random-v4", "random-v4"},
    {"random-v4-att96", "random-v4-att96"},
    {"random-v5.0", "random-v5.0"},
    {"random-v5.1", "random-v5.1"},
    {"random-v5.2", "random-v5.2"},
    {"random-v5.2-h64", "random-v5.2-h64"},
    {"random-v6", "random-v6"},
    {"random-v6-h64-bf16", "random-v6-h64-bf16"},
    {"random-v7", "random-v7"},
    {"random-v7-f16", "random-v7-f16"},
    {"random-v7-h64-bf16", "random-v7-h64-bf16"},
    {"random-v7-legacy", "random-v7"},
    {"random-v7-views", "random-v7"},
    {"random-v7.safetensors", "random-v7"},
};

std::string test_name(const testing::TestParamInfo<GoldenModel>& info);

std::filesystem::path model_file(const std::string& name);

struct Golden {
  std::vector<Token> tokens;
  std::vector<float> logits;  // [tokens, n_vocab]
  std::vector<std::vector<float>> state;
};

std::vector<float> read_tensor(const Checkpoint& file, const std::string& name);

Golden load_golden(const std::string& name);

// NaN if one of the differences is.
double max_difference(std::span<const float> a, std::span<const float> b);

// Root mean square of the differences, relative to that of the expected values.
double relative_error(std::span<const float> found, std::span<const float> expected);

// Largest difference of two states, relative to the largest value of the array.
double state_difference(const State& state, const std::vector<std::vector<float>>& expected);

// Logits of all positions, [tokens, n_vocab], fed in calls of the given lengths (the last one again and again).
std::vector<float> feed(const Model& model, State& state, std::span<const Token> tokens, std::vector<std::size_t> lengths);

std::size_t best(std::span<const float> logits);

void expect_same_best(std::span<const float> a, std::span<const float> b, std::size_t n_vocab);

}  // namespace rwkv::test
