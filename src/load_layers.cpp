// SPDX-License-Identifier: Apache-2.0
#include "load_layers.h"

#include <algorithm>
#include <utility>

#include "message.h"

namespace rwkv {
namespace {

// Stops early at a file with a thousand blocks that hold nothing.
constexpr std::size_t kManyProblems = 20;

constexpr const char* kTimeState = "att.time_state";  // a tuned initial state merged into a checkpoint, spec 9.2

// Index [head][value][key] for all versions; ours for 5 and 6 is [head][key][value].
std::vector<float> load_time_state(WeightLoader& load, const ModelConfig& c) {
  if (c.version == 4 || !load.has(kTimeState)) return {};
  const std::int64_t n = c.head_size;
  std::vector<float> s = load.host_vector(kTimeState, {c.n_head, n, n});
  for (std::int64_t h = 0; c.version < 7 && !s.empty() && h < c.n_head; ++h) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) std::swap(s[(h * n + i) * n + j], s[(h * n + j) * n + i]);
    }
  }
  return s;
}

}  // namespace

std::vector<std::vector<float>> load_layers(const CheckedCheckpoint& checkpoint, LoadLog& log, Model::Impl& model,
                                            const MemoryOf& memory) {
  const ModelConfig& config = checkpoint.config;
  const auto loader = [&](int layer) {
    return WeightLoader(*checkpoint.file, log, model.placements[std::max(layer, 0)], memory(layer));
  };
  std::vector<std::vector<float>> initial_s;
  WeightLoader first = loader(kStem);
  model.stem = Stem::load(first, config);
  for (int layer = 0; layer < config.n_layer && log.problems.size() < kManyProblems; ++layer) {
    WeightLoader load = loader(layer);
    load.set_prefix(message("blocks.", layer, "."));
    model.blocks.push_back(checkpoint.architecture->load_block(load, config, layer));
    initial_s.push_back(load_time_state(load, config));
  }
  WeightLoader last = loader(config.n_layer);
  model.head = Head::load(last, config);
  return initial_s;
}

}  // namespace rwkv
