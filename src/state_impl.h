// SPDX-License-Identifier: Apache-2.0
// Where a state's arrays lie: one buffer per block, on that block's device.
#pragma once
#include <rwkv/model.h>
#include <rwkv/state.h>

#include <atomic>
#include <memory>
#include <vector>

#include "arch/architecture.h"
#include "kernels/buffer.h"

namespace rwkv {

// Shared by a model and all its states, so that a state may outlive the model.
struct StateLayout {
  ModelConfig config;
  std::uint64_t fingerprint = 0;                 // of the model's weights, whatever their type
  std::vector<Slot> slots;                       // of a block
  std::vector<std::int64_t> offsets;             // [slots], in floats from the start of the block's buffer
  std::int64_t block_floats = 0;                 // of that buffer
  std::vector<std::shared_ptr<Device>> devices;  // [n_layer]
  std::vector<std::vector<float>> initial_s;     // [n_layer], S at the start of a text; empty: zero

  // Without initial values; devices: [n_layer].
  StateLayout(const ModelConfig& config, std::uint64_t fingerprint, std::vector<std::shared_ptr<Device>> devices);

  // Throws StateError unless these are all of a state's arrays, in order.
  void check(std::span<const State::Array> arrays) const;

  // Of a state's arrays, and of what it takes on the devices: each array there begins at a multiple of 64 bytes.
  [[nodiscard]] std::int64_t bytes() const;
  [[nodiscard]] std::int64_t block_bytes() const { return block_floats * static_cast<std::int64_t>(sizeof(float)); }
};

struct State::Impl {
  std::shared_ptr<const StateLayout> layout;
  std::vector<Buffer> blocks;  // [n_layer]
  std::int64_t tokens_seen = 0;
  std::atomic<bool> in_use = false;  // by a forward

  explicit Impl(std::shared_ptr<const StateLayout> layout);  // contents undefined
  [[nodiscard]] std::unique_ptr<Impl> clone() const;
  void copy_from(const Impl& other);  // of the same layout
  [[nodiscard]] float* slot(std::size_t layer, std::size_t i) const { return blocks[layer].floats() + layout->offsets[i]; }
};

// At the start of a text.
[[nodiscard]] std::unique_ptr<State::Impl> initial_state(std::shared_ptr<const StateLayout> layout);

// "RWKV-7, 12 layers, n_embd 768, 12 heads of 64"
[[nodiscard]] std::string describe(const ModelConfig& config);

}  // namespace rwkv
