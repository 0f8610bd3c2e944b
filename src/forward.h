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
#include "state_impl.h"

namespace rwkv {

// Some tokens of one sequence of the batch.
struct Piece {
  std::span<const Token> tokens;
  State::Impl* state;
  std::span<float> logits;  // [n_vocab] for the last of `tokens`, [tokens, n_vocab] for all, or empty
};

struct Model::Impl {
  ModelConfig config;
  const Architecture* architecture = nullptr;
  std::shared_ptr<Device> device;
  std::vector<Buffer> memory;  // owns the weights
  Stem stem;
  std::vector<std::unique_ptr<Block>> blocks;
  Head head;
  std::shared_ptr<const StateLayout> state_layout;
  std::vector<Placement> placements;
  std::vector<std::string> unused;
  std::int64_t weight_bytes = 0;

  void run(std::span<const Piece> pieces) const;

 private:
  void run_head(Workspace& workspace, Rows x, std::span<const Piece> pieces) const;
  [[nodiscard]] std::unique_ptr<Workspace> take_workspace() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  mutable std::mutex workspaces_lock_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;  // those no forward is using
};

}  // namespace rwkv
