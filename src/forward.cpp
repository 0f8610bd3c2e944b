// SPDX-License-Identifier: Apache-2.0
#include "forward.h"

#include <algorithm>

namespace rwkv {
namespace {

// Rows of logits computed at once: bounds the memory for [tokens, n_vocab] results.
constexpr std::int64_t kHeadRows = 64;

template <class T>
T* upload(Device& device, Workspace& workspace, const std::vector<T>& values) {
  T* const memory = static_cast<T*>(workspace.allocate(values.size() * sizeof(T)));
  device.upload(memory, values.data(), values.size() * sizeof(T));
  return memory;
}

// [n_layer][slots][n_seq]
std::vector<float*> slot_pointers(std::span<const Piece> pieces, const StateLayout& layout) {
  std::vector<float*> pointers;
  for (std::size_t layer = 0; layer < layout.devices.size(); ++layer) {
    for (std::size_t slot = 0; slot < layout.slots.size(); ++slot) {
      for (const Piece& piece : pieces) pointers.push_back(piece.state->slot(layer, slot));
    }
  }
  return pointers;
}

}  // namespace

// Tries only: in the child of a fork() the lock may be held for ever by a thread that is not there.
std::unique_ptr<Workspace> Model::Impl::take_workspace() const {
  const std::unique_lock lock(workspaces_lock_, std::try_to_lock);
  if (!lock || workspaces_.empty()) return std::make_unique<Workspace>(*device);
  auto workspace = std::move(workspaces_.back());
  workspaces_.pop_back();
  return workspace;
}

void Model::Impl::give_back(std::unique_ptr<Workspace> workspace) const {
  workspace->release({0, 0});
  const std::unique_lock lock(workspaces_lock_, std::try_to_lock);
  if (lock) workspaces_.push_back(std::move(workspace));
}

void Model::Impl::run(std::span<const Piece> pieces, const Poll& poll) const {
  auto workspace = take_workspace();
  std::vector<std::int32_t> tokens, offsets{0};
  for (const Piece& piece : pieces) {
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    offsets.push_back(static_cast<std::int32_t>(tokens.size()));
  }
  const auto n_row = static_cast<std::int64_t>(tokens.size()), n_seq = static_cast<std::int64_t>(pieces.size());
  const Batch batch{n_seq, n_row, upload(*device, *workspace, offsets)};
  float* const* slots = upload(*device, *workspace, slot_pointers(pieces, *state_layout));
  Pass pass(*device, *workspace, poll, batch, workspace->rows(n_row, config.n_embd),
            architecture->carries_v_first ? workspace->rows(n_row, config.n_att) : Rows{});
  stem.run(pass, upload(*device, *workspace, tokens));
  for (const auto& block : blocks) {
    pass.run(*block, slots);
    slots += static_cast<std::int64_t>(state_layout->slots.size()) * n_seq;
  }
  run_head(*workspace, pass.x, pieces, poll);
  for (const Piece& piece : pieces) piece.state->tokens_seen += static_cast<std::int64_t>(piece.tokens.size());
  give_back(std::move(workspace));
}

// Gathers the rows whose logits are wanted, so that the head's weights are read once for many sequences.
void Model::Impl::run_head(Workspace& workspace, Rows x, std::span<const Piece> pieces, const Poll& poll) const {
  struct Wanted {
    const float* row;  // [C], on the device
    float* logits;     // [n_vocab], on the host
  };
  std::vector<Wanted> wanted;
  std::int64_t end = 0;
  for (const Piece& piece : pieces) {
    end += static_cast<std::int64_t>(piece.tokens.size());
    const auto n = static_cast<std::int64_t>(piece.logits.size()) / config.n_vocab;
    for (std::int64_t i = 0; i < n; ++i) {
      wanted.push_back({x.data + (end - n + i) * x.n_col, piece.logits.data() + i * config.n_vocab});
    }
  }
  const auto n_wanted = static_cast<std::int64_t>(wanted.size());
  const std::int64_t at_once =
      poll ? std::clamp<std::int64_t>(kPolledWork / (x.n_col * config.n_vocab), 1, kHeadRows) : kHeadRows;
  for (std::int64_t first = 0; first < n_wanted; first += at_once) {
    if (poll) poll();
    const std::int64_t n = std::min(at_once, n_wanted - first);
    const Workspace::Mark mark = workspace.mark();
    const Rows rows = workspace.rows(n, x.n_col), logits = workspace.rows(n, config.n_vocab);
    for (std::int64_t i = 0; i < n; ++i) device->copy(rows.data + i * x.n_col, wanted[first + i].row, x.n_col * sizeof(float));
    head.run(*device, rows, logits);
    for (std::int64_t i = 0; i < n; ++i) {
      device->download(wanted[first + i].logits, logits.data + i * config.n_vocab, config.n_vocab * sizeof(float));
    }
    workspace.release(mark);
  }
}

}  // namespace rwkv
