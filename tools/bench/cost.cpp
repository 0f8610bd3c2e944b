// SPDX-License-Identifier: Apache-2.0
#include "bench/cost.h"

#include <algorithm>

namespace rwkv::bench {
namespace {

// att.w1 [in, rank], att.time_maa_w2 [5, rank, out]: the low-rank matrices of versions 6 and 7. They are never quantised, so
// the file has their sizes.
bool is_low_rank(const TensorInfo& tensor) {
  return tensor.shape.size() >= 2 && (tensor.name.ends_with('1') || tensor.name.ends_with('2'));
}

}  // namespace

std::int64_t matrix_multiply_adds(const ModelConfig& c) {
  const std::int64_t embd = c.n_embd, att = c.n_att, ffn = c.n_ffn;
  const bool gate = c.version == 6 || (c.version == 5 && c.minor > 0);
  const std::int64_t time_mix = (gate ? 5 : 4) * att * embd;                            // receptance, key, value, output, gate
  const std::int64_t channel_mix = 2 * ffn * embd + (c.version < 7 ? embd * embd : 0);  // key, value, receptance
  return time_mix + channel_mix;
}

ModelCost cost_of(const Model::Impl& model, const CheckedCheckpoint& checkpoint) {
  const ModelConfig& c = model.config;
  const Matrix& emb = model.stem.emb;
  ModelCost cost;
  cost.step_bytes = model.weight_bytes - (emb.n_out - 1) * emb.n_in * bytes_of(emb.type);
  cost.block_multiply_adds = c.n_layer * matrix_multiply_adds(c);
  for (const TensorInfo& tensor : checkpoint.file->tensors()) {
    const bool used = std::ranges::find(checkpoint.unused, tensor.name) == checkpoint.unused.end();
    if (used && is_low_rank(tensor)) cost.block_multiply_adds += tensor.count();
  }
  cost.head_multiply_adds = std::int64_t{c.n_vocab} * c.n_embd;
  return cost;
}

Work Work::of(const ModelCost& cost, std::int64_t sequences, std::int64_t tokens) {
  const auto rows = static_cast<double>(sequences * tokens);
  return {.bytes = static_cast<double>(cost.step_bytes),
          .flops = 2 * (rows * static_cast<double>(cost.block_multiply_adds) +
                        static_cast<double>(sequences * cost.head_multiply_adds))};
}

double Work::least_seconds(const Limits& limits) const {
  return std::max(bandwidth_seconds(limits), arithmetic_seconds(limits));
}

TransformerCost TransformerCost::of(const ModelConfig& c, std::int64_t tokens) {
  const double values = static_cast<double>(c.n_layer) * c.n_embd * static_cast<double>(tokens);
  return {.cache_bytes = 2 * values * 2, .attention_flops = 4 * values};
}

}  // namespace rwkv::bench
