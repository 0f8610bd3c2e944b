// SPDX-License-Identifier: Apache-2.0
// A loaded model's parts and one pass of some rows through them.
#pragma once
#include <rwkv/model.h>

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "arch/stem.h"
#include "arch/workspace.h"
#include "round.h"
#include "state_impl.h"
#include "streamed_layers.h"

namespace rwkv {

// Multiply-adds of one matrix product between two polls: some 20 ms.
constexpr std::int64_t kPolledWork = std::int64_t{1} << 32;

// Sequences of one round at most, as a step has the logits of all at once.
constexpr std::size_t kRoundSequences = 512;

// Where forward_on_device() leaves logits; null: nowhere.
struct Model::KeptLogits {
  float* data = nullptr;  // [rows, n_vocab], on the head's device
  LogitsOf which = LogitsOf::last_token;
};

// Consecutive layers on one device: blocks first to end - 1; in front of the first stage's the stem, behind the last one's the
// head, which may have the stage to itself.
struct Stage {
  std::size_t device;  // of Model::Impl::devices
  std::size_t first, end;
};

// Where the states of all pieces lie: [blocks of the stage][slots][n_seq]
[[nodiscard]] std::vector<void*> slot_pointers(std::span<const Piece> pieces, const StateLayout& layout, const Stage& stage);

// What one call works in: one for each device.
using Workspaces = std::vector<Workspace>;

struct Model::Impl {
  ModelConfig config;
  const Architecture* architecture = nullptr;
  std::vector<std::shared_ptr<Device>> devices;  // each once, in the order of their layers
  std::vector<Stage> stages;
  std::vector<Buffer> weights;               // [devices]
  std::unique_ptr<StreamedLayers> streamed;  // null: all weights stay on their devices
  std::vector<std::size_t> workspace_bytes;  // [devices], that a round takes
  Stem stem;
  std::vector<std::unique_ptr<Block>> blocks;
  Head head;
  std::shared_ptr<const StateLayout> state_layout;
  std::vector<Placement> placements;
  std::vector<std::string> unused;
  std::int64_t weight_bytes = 0;

  // Of a layer; layer n_layer is the head.
  [[nodiscard]] std::size_t device_of(std::size_t layer) const;  // of `devices`
  [[nodiscard]] bool streams(std::size_t layer) const;           // its weights are kept in host memory and copied for every use

  [[nodiscard]] std::vector<std::shared_ptr<Device>> block_devices() const;  // [n_layer]

  // Takes the memory of a first call.
  void reserve();

  // Of tokens, that all its devices like.
  [[nodiscard]] std::size_t round_rows() const;

  // Cuts the batch into rounds of at most `round_rows` tokens; states: [batch]. The devices are done with it afterwards. When
  // `poll` throws, the states are left between two layers.
  void run_rounds(std::span<const Sequence> batch, std::span<State::Impl* const> states, const KeptLogits& kept,
                  std::size_t round_rows, const Poll& poll) const;

  // One round.
  void run(std::span<const Piece> pieces, Workspaces& workspaces, const Poll& poll) const;

  // Whether a call of one token for each sequence is over in a moment for the host, so that nobody has to be polled within it.
  [[nodiscard]] bool replays_steps() const;

 private:
  [[nodiscard]] bool replays_steps(std::size_t device) const;  // of `devices`: whether its stages of such a call are recorded
  void run_blocks(Pass& pass, const Stage& stage, void* const* slots, StreamedLayers::Use& streaming) const;
  void run_head(Pass& pass, const Round& round, const std::int32_t* wanted, StreamedLayers::Use& streaming) const;
  [[nodiscard]] Workspaces take_workspaces() const;
  void give_back(Workspaces workspaces) const;

  mutable std::mutex workspaces_lock_;
  mutable std::vector<Workspaces> workspaces_;  // those no forward is using
};

}  // namespace rwkv
