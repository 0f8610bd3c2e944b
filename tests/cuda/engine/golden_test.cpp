// SPDX-License-Identifier: Apache-2.0
// Every golden checkpoint through strategies "cuda ...": float32 against the float64 results, other types against the CPU.
#include "cuda/engine/engine.h"
#include "message.h"

namespace rwkv::test {
namespace {

class CudaGolden : public testing::TestWithParam<GoldenModel> {
 protected:
  void check(std::vector<std::size_t> lengths) {
    RWKV_SKIP_WITHOUT(model_file(std::string(GetParam().golden) + ".golden.json"));
    RWKV_SKIP_UNLESS_CUDA_RUNS(inspect(model_file(GetParam().file)).config.version);
    const auto [of_logits, of_state] = expect_golden(GetParam(), "cuda fp32", std::move(lengths));
    RecordProperty("cuda_fp32_logits", message(of_logits));
    RecordProperty("cuda_fp32_state", message(of_state));
  }
};

TEST_P(CudaGolden, TokenByToken) { check({1}); }
TEST_P(CudaGolden, WholeSequenceAtOnce) { check({1000}); }
TEST_P(CudaGolden, UnevenChunks) { check({3, 1, 7, 2, 16, 5}); }

INSTANTIATE_TEST_SUITE_P(Random, CudaGolden, testing::ValuesIn(kGoldenModels), test_name);

// The same weights on both devices, sums in another order. A device may round x beside quantised weights, or for many rows
// beside 16-bit ones (kernels/kernels.h, MatMul): calls of 8 tokens at most, and for i8 and i4 what the CPU's digits lose.
struct TypeBound {
  const char* type;
  double logits;
};
constexpr TypeBound kTypes[] = {{"fp16", kLogits}, {"bf16", kLogits}, {"fp16i8", 10 * kLogits}, {"fp16i4", 0.01}};

class CudaVersion : public testing::TestWithParam<VersionModel> {};

TEST_P(CudaVersion, EveryTypeOfWeightsGivesTheLogitsOfTheCpu) {
  RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version);
  const auto tokens = load_golden(GetParam().file).tokens;
  for (const TypeBound& bound : kTypes) {
    const std::string type = bound.type;
    const Result cuda = result_of(GetParam().file, "cuda " + type, tokens, {1, 2, 8, 5});
    const Result cpu = result_of(GetParam().file, "cpu " + type, tokens, {1, 2, 8, 5});
    const double difference = max_difference(cuda.logits, cpu.logits);
    EXPECT_LE(difference, bound.logits) << type;
    RecordProperty(type, message(difference));
  }
}

// More than 64 rows are multiplied with float16 (kernels/cuda/many_rows.cu): as far from calls of 8 tokens as float16 weights
// may be from float64 (tests/golden/logits_test.cpp).
TEST_P(CudaVersion, APromptOfQuantisedWeightsGivesTheLogitsOfShortCalls) {
  RWKV_SKIP_UNLESS_CUDA_RUNS(GetParam().version);
  constexpr double kFloat16 = 0.04;
  auto tokens = load_golden(GetParam().file).tokens;
  while (tokens.size() < 80) tokens.push_back(tokens[tokens.size() / 2]);
  for (const std::string type : {"fp16i8", "fp16i4"}) {
    const Result prompt = result_of(GetParam().file, "cuda " + type, tokens, {tokens.size()});
    const Result calls = result_of(GetParam().file, "cuda " + type, tokens, {8});
    const double difference = max_difference(prompt.logits, calls.logits);
    EXPECT_LE(difference, kFloat16) << type;
    EXPECT_GT(difference, 0.0) << type;
    RecordProperty(type + "_prompt", message(difference));
  }
}

INSTANTIATE_TEST_SUITE_P(Each, CudaVersion, testing::ValuesIn(kVersionModels), version_name);

}  // namespace
}  // namespace rwkv::test
