// SPDX-License-Identifier: Apache-2.0
// The model that is measured, from a file or from nothing.
#pragma once
#include <functional>
#include <string>

#include "bench/cost.h"
#include "bench/options.h"
#include "load.h"

namespace rwkv::bench {

struct LoadedModel {
  CheckedCheckpoint checkpoint;
  std::shared_ptr<const Model::Impl> impl;
  Model model;
  ModelCost cost;

  [[nodiscard]] static LoadedModel load(const Options& options, int threads);

  // Computes the logits of a first token: what is mapped is not loaded before.
  void answer() const;

  // Whether the first layers are on a card: its limits are then those that count.
  [[nodiscard]] bool on_card() const;
  // Reads them, or those of this many threads of the CPU (LimitMeter), at each call.
  [[nodiscard]] std::function<Limits()> limit_reader(int threads) const;

  // That the strategy computes in on the CPU: bf16 weights may use bf16 units, all others are expanded to float32.
  [[nodiscard]] Arithmetic arithmetic() const;
  [[nodiscard]] std::string text() const;  // "synthetic v7-0.1b: RWKV-7, 12 layers, n_embd 768, 12 heads of 64"
};

}  // namespace rwkv::bench
