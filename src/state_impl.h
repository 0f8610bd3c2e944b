// SPDX-License-Identifier: Apache-2.0
// Where a state's arrays lie: one buffer per device, with the arrays of its blocks one behind the other.
#pragma once
#include <rwkv/model.h>
#include <rwkv/state.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "arch/architecture.h"
#include "kernels/buffer.h"

namespace rwkv {

// Shared by a model and all its states, so that a state may outlive the model. Arrays have numbers, in the order of
// State::arrays().
struct StateLayout {
  ModelConfig config;
  std::uint64_t fingerprint = 0;                 // of the model's weights, whatever their type
  std::vector<Slot> slots;                       // of a block
  bool half = false;                             // S is float16 on devices that can
  std::vector<std::shared_ptr<Device>> devices;  // each once
  std::vector<std::size_t> buffer_bytes;         // [devices]
  std::vector<std::size_t> device_of;            // [n_layer], of `devices`
  std::vector<std::size_t> offsets;              // [arrays], in bytes from the start of the device's buffer
  std::vector<std::vector<float>> initial_s;     // [n_layer], S at the start of a text; empty: zero

  // Without initial values; block_devices: [n_layer].
  StateLayout(const ModelConfig& config, std::uint64_t fingerprint, bool half,
              const std::vector<std::shared_ptr<Device>>& block_devices);

  // Throw StateError unless these are all of a state's arrays, in order; unless this is array n.
  void check(std::span<const State::Array> arrays) const;
  void check(std::size_t n, const State::Array& array) const;

  [[nodiscard]] Device& device(std::size_t layer) const { return *devices[device_of[layer]]; }
  [[nodiscard]] DType matrix_type(const Device& device) const;  // of S
  [[nodiscard]] bool has_half() const;

  // Of array n.
  [[nodiscard]] std::size_t layer_of(std::size_t n) const { return n / slots.size(); }
  [[nodiscard]] const Slot& slot_of(std::size_t n) const { return slots[n % slots.size()]; }
  [[nodiscard]] std::string name(std::size_t n) const;  // "blocks.0.att_x"
  [[nodiscard]] DType type(std::size_t n) const {
    return slot_of(n).is_matrix() ? matrix_type(device(layer_of(n))) : DType::f32;
  }
  [[nodiscard]] std::size_t bytes(std::size_t n) const {
    return static_cast<std::size_t>(slot_of(n).count() * bytes_of(type(n)));
  }

  // Of all arrays; on the devices each begins at a multiple of 64 bytes.
  [[nodiscard]] std::int64_t bytes() const;
};

struct State::Impl {
  std::shared_ptr<const StateLayout> layout;
  std::vector<Buffer> buffers;  // [devices]
  std::int64_t tokens_seen = 0;
  std::atomic<bool> in_use = false;  // by a forward

  explicit Impl(std::shared_ptr<const StateLayout> layout);  // contents undefined
  [[nodiscard]] std::unique_ptr<Impl> clone() const;
  void copy_from(const Impl& other);  // of the same layout
  [[nodiscard]] void* array(std::size_t n) const {
    return static_cast<std::byte*>(buffers[layout->device_of[layout->layer_of(n)]].data()) + layout->offsets[n];
  }

  // values(n): of array n, as many as it has. What float16 cannot hold becomes its largest number.
  void write(const std::function<std::span<const float>(std::size_t n)>& values);
  void write(std::size_t n, std::span<const float> values);
};

// At the start of a text.
[[nodiscard]] std::unique_ptr<State::Impl> initial_state(std::shared_ptr<const StateLayout> layout);

// "RWKV-7, 12 layers, n_embd 768, 12 heads of 64"
[[nodiscard]] std::string describe(const ModelConfig& config);

}  // namespace rwkv
