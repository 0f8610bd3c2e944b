// SPDX-License-Identifier: Apache-2.0
// What a step must read and compute, and how long the machine's limits make it take.
#pragma once
#include <cstdint>

#include "bench/limits.h"
#include "load.h"

namespace rwkv::bench {

struct ModelCost {
  std::int64_t step_bytes = 0;           // weights that one token reads: all, but one row only of the embedding table
  std::int64_t block_multiply_adds = 0;  // per token, of the matrices of all blocks
  std::int64_t head_multiply_adds = 0;   // per logits
};

[[nodiscard]] ModelCost cost_of(const Model::Impl& model, const CheckedCheckpoint& checkpoint);

// Multiply-adds per token of the matrices of one block that have the same size in all models of a shape: not the low-rank ones.
[[nodiscard]] std::int64_t matrix_multiply_adds(const ModelConfig& config);

// The least that some piece of work takes. States and activations are not counted.
struct Work {
  double bytes = 0, flops = 0;

  // `tokens` tokens of each of `sequences` sequences computed together, with logits for the last one of each.
  static Work of(const ModelCost& cost, std::int64_t sequences, std::int64_t tokens);

  [[nodiscard]] double bandwidth_seconds(const Limits& limits) const { return bytes / limits.bytes_per_second; }
  [[nodiscard]] double arithmetic_seconds(const Limits& limits) const { return flops / limits.flops_per_second; }
  // Both at once: the longer one.
  [[nodiscard]] double least_seconds(const Limits& limits) const;
};

// A transformer of the same width and depth, each head with its own keys and values, after `tokens` tokens.
struct TransformerCost {
  double cache_bytes;      // 2 n_layer n_embd tokens values of 2 bytes
  double attention_flops;  // for one more token: 4 n_layer n_embd tokens, q k and then the sum of values

  static TransformerCost of(const ModelConfig& config, std::int64_t tokens);
};

}  // namespace rwkv::bench
