// SPDX-License-Identifier: Apache-2.0
// What a model remembers of the text so far: constant in size, a value: copying it forks the conversation.
#pragma once
#include <rwkv/device_array.h>
#include <rwkv/error.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rwkv {

class Model;
struct ModelConfig;

class State {
 public:
  State() noexcept;  // belongs to no model until assigned
  State(const State&);
  State(State&&) noexcept;
  State& operator=(const State&);
  State& operator=(State&&) noexcept;
  ~State();

  // Of the model that it is for; version 0 if it belongs to none.
  [[nodiscard]] const ModelConfig& config() const noexcept;

  // Tokens fed since the start of the text.
  [[nodiscard]] std::int64_t tokens_seen() const noexcept;

  // Bytes of memory it takes.
  [[nodiscard]] std::int64_t bytes() const noexcept;

  // Of its arrays, in order.
  [[nodiscard]] std::vector<std::string> names() const;

  // One array of the state, in the order and layout of the `rwkv` package: per block att_x [n_embd], then aa, bb, pp [n_att]
  // (version 4) or S [n_head, head_size, head_size] (key, value in versions 5 and 6; value, key in 7), then ffn_x [n_embd].
  struct Array {
    std::string name;  // "blocks.0.att_x"
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };
  [[nodiscard]] std::vector<Array> arrays() const;

  // The reverse of arrays(): all of them, in order, with equal shapes. Throws StateError and leaves the state as it was.
  void assign(std::span<const Array> arrays);

  // One of them, found by its name: the others do not move.
  void assign(const Array& array);

  // The arrays where they lie, for states in host memory; DeviceError for others. Writing to them changes the state. Valid
  // until the state is assigned to, moved from or destroyed; forward() advances them in place.
  struct View {
    std::string name;
    std::vector<std::int64_t> shape;
    std::span<float> values;
  };
  [[nodiscard]] std::vector<View> views();

  // The same on any device, in memory that stays as long as the arrays. What was asked of the state before is done in it, as
  // after each forward(), which advances them in place, and assign(). Others must have ended their own work on a card with the
  // arrays before.
  [[nodiscard]] std::vector<DeviceArray> device_arrays();

  // Of the same model, with equal values in all arrays.
  [[nodiscard]] bool operator==(const State& other) const;

  // A state apart from its model, to be sent to another process.
  struct Snapshot;
  [[nodiscard]] Snapshot snapshot() const;

  // In host memory. Throws StateError for a snapshot that does not fit its own config.
  explicit State(const Snapshot& snapshot);

  // Writes a file that only its owner can read (it holds the conversation). The old file stays whole until the new one is.
  void save(const std::filesystem::path& path) const;

  // Throws FileError, or StateError when the file is damaged or of another model; the message says what differs.
  [[nodiscard]] static State load(const std::filesystem::path& path, const Model& model);

  struct Impl;

 private:
  friend class Model;
  explicit State(std::unique_ptr<Impl>) noexcept;
  std::shared_ptr<Impl> impl_;  // with the arrays of device_arrays()
};

}  // namespace rwkv
