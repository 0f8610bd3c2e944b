// SPDX-License-Identifier: Apache-2.0
// Bytes and operations of a step against the tensors of the file, counted one by one.
#include "bench/cost.h"

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "test_data.h"

namespace rwkv::bench {
namespace {

constexpr const char* kModels[] = {"random-v4",   "random-v4-att96", "random-v5.0", "random-v5.1",
                                   "random-v5.2", "random-v6",       "random-v7",   "random-v7-legacy"};

struct Loaded {
  CheckedCheckpoint checkpoint;
  std::shared_ptr<const Model::Impl> impl;

  Loaded(const std::string& name, const char* strategy)
      : checkpoint(check_checkpoint(test::data("models/" + name + ".pth"), LoadOptions{.threads = 1})),
        impl(load_model(checkpoint, strategy, {.threads = 1})) {}
  [[nodiscard]] ModelCost cost() const { return cost_of(*impl, checkpoint); }
};

// What a token is multiplied with, by name: not the embedding, which is looked up, and not what stands beside the matrices.
bool multiplies_a_token(const TensorInfo& tensor) {
  if (tensor.name == "emb.weight" || tensor.name == "head.weight") return false;
  if (tensor.name.ends_with(".weight")) return tensor.shape.size() == 2;
  for (const char* end : {"_w1", "_w2", ".w1", ".w2", ".a1", ".a2", ".v1", ".v2", ".g1", ".g2"})
    if (tensor.name.ends_with(end)) return !(tensor.name == "blocks.0.att.v1" || tensor.name == "blocks.0.att.v2");
  return false;
}

TEST(Cost, MultiplyAddsAreTheElementsOfTheMatrices) {
  for (const char* name : kModels) {
    const Loaded loaded(name, "cpu fp32");
    std::int64_t elements = 0;
    for (const TensorInfo& tensor : loaded.checkpoint.file->tensors())
      if (multiplies_a_token(tensor)) elements += tensor.count();
    EXPECT_EQ(loaded.cost().block_multiply_adds, elements) << name;
    EXPECT_EQ(loaded.cost().head_multiply_adds, loaded.checkpoint.file->find("head.weight")->count()) << name;
  }
}

TEST(Cost, AStepReadsAllWeightsButOneRowOnlyOfTheEmbedding) {
  for (const char* name : {"random-v4", "random-v6", "random-v7"}) {  // 5 stores some vectors per head and widens them
    const Loaded loaded(name, "cpu fp32");
    std::int64_t floats = 0;
    for (const TensorInfo& tensor : loaded.checkpoint.file->tensors()) floats += tensor.count();
    const auto& emb = *loaded.checkpoint.file->find("emb.weight");
    floats -= emb.count() - emb.shape[1];
    for (const std::string& unused : loaded.checkpoint.unused) floats -= loaded.checkpoint.file->find(unused)->count();
    EXPECT_EQ(loaded.cost().step_bytes, 4 * floats) << name;
  }
}

TEST(Cost, TheEmbeddingIsCountedInTheTypeItHasInMemory) {
  const Loaded full("random-v4", "cpu fp32"), half("random-v4", "cpu bf16");
  const std::int64_t matrices = full.cost().block_multiply_adds + full.cost().head_multiply_adds + full.impl->config.n_embd;
  EXPECT_EQ(full.cost().step_bytes - half.cost().step_bytes, 2 * matrices);
}

TEST(Work, CountsTheHeadOncePerSequence) {
  const ModelCost cost{.step_bytes = 1000, .block_multiply_adds = 10, .head_multiply_adds = 3};
  EXPECT_EQ(Work::of(cost, 1, 1).flops, 2 * 13);
  EXPECT_EQ(Work::of(cost, 1, 7).flops, 2 * (70 + 3));
  EXPECT_EQ(Work::of(cost, 5, 1).flops, 2 * (50 + 15));
  EXPECT_EQ(Work::of(cost, 5, 1).bytes, 1000);
}

TEST(Work, TakesAsLongAsTheTighterLimitMakesIt) {
  const Work work{.bytes = 100, .flops = 30};
  EXPECT_EQ(work.least_seconds({.bytes_per_second = 10, .flops_per_second = 10}), 10);
  EXPECT_EQ(work.least_seconds({.bytes_per_second = 100, .flops_per_second = 10}), 3);
}

// GPT-3's well-known shape: 96 layers of width 12288 at 2048 tokens have a cache of 9 GiB in 16 bit.
TEST(Transformer, CacheAndAttentionGrowWithTheTokens) {
  ModelConfig gpt3;
  gpt3.n_layer = 96;
  gpt3.n_embd = 12288;
  EXPECT_EQ(TransformerCost::of(gpt3, 2048).cache_bytes, 9.0 * (1 << 30));
  EXPECT_EQ(TransformerCost::of(gpt3, 1).attention_flops, 4.0 * 96 * 12288);
  EXPECT_EQ(TransformerCost::of(gpt3, 1'000'000).attention_flops, 1e6 * 4.0 * 96 * 12288);
}

}  // namespace
}  // namespace rwkv::bench
