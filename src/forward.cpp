// SPDX-License-Identifier: Apache-2.0
#include "forward.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "sampling/draw.h"

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

// From device to device, through host memory where both have their own.
void hand_over(Device& from, Rows rows, Device& to, Rows out) {
  const std::size_t n = static_cast<std::size_t>(rows.n_row * rows.n_col), bytes = n * sizeof(float);
  if (n == 0) return;
  if (from.is_host()) return to.upload(out.data, rows.data, bytes);
  if (to.is_host()) return from.download(out.data, rows.data, bytes);
  std::vector<float> host(n);
  from.download(host.data(), rows.data, bytes);
  to.upload(out.data, host.data(), bytes);
}

}  // namespace

std::vector<void*> slot_pointers(std::span<const Piece> pieces, const StateLayout& layout, const Stage& stage) {
  std::vector<void*> pointers;
  for (std::size_t layer = stage.first; layer < stage.end; ++layer) {
    for (std::size_t slot = 0; slot < layout.slots.size(); ++slot) {
      for (const Piece& piece : pieces) pointers.push_back(piece.state->array(layer, slot));
    }
  }
  return pointers;
}

// Tries only: in the child of a fork() the lock may be held for ever by a thread that is not there.
Workspaces Model::Impl::take_workspaces() const {
  Workspaces taken;
  if (const std::unique_lock lock(workspaces_lock_, std::try_to_lock); lock && !workspaces_.empty()) {
    taken = std::move(workspaces_.back());
    workspaces_.pop_back();
    return taken;
  }
  for (std::size_t i = 0; i < devices.size(); ++i) taken.emplace_back(*devices[i], workspace_bytes[i]);
  return taken;
}

std::size_t Model::Impl::round_rows() const {
  std::int64_t rows = std::numeric_limits<std::int64_t>::max();
  for (const auto& device : devices) rows = std::min(rows, device->kernels().round_rows);
  return static_cast<std::size_t>(rows);
}

void Model::Impl::reserve() { give_back(take_workspaces()); }

std::size_t Model::Impl::device_of(std::size_t layer) const {
  const auto after = std::ranges::find_if(stages, [&](const Stage& stage) { return layer < stage.first; });
  return std::prev(after)->device;
}

std::vector<std::shared_ptr<Device>> Model::Impl::block_devices() const {
  std::vector<std::shared_ptr<Device>> of_blocks;
  for (int layer = 0; layer < config.n_layer; ++layer) of_blocks.push_back(devices[device_of(layer)]);
  return of_blocks;
}

bool Model::Impl::streams(std::size_t layer) const {
  return placements[layer].streamed && !devices[device_of(layer)]->is_host();
}

void Model::Impl::give_back(Workspaces workspaces) const {
  const std::unique_lock lock(workspaces_lock_, std::try_to_lock);
  if (lock) workspaces_.push_back(std::move(workspaces));
}

void Model::Impl::run(std::span<const Piece> pieces, Workspaces& workspaces, const Poll& poll) const {
  if (is_step(pieces)) {
    run_step(pieces, workspaces.front());
  } else {
    run_rows(pieces, workspaces, poll);
  }
  for (const Piece& piece : pieces) piece.state->tokens_seen += static_cast<std::int64_t>(piece.tokens.size());
  for (Workspace& workspace : workspaces) workspace.release({0, 0});
}

void Model::Impl::run_rows(std::span<const Piece> pieces, Workspaces& workspaces, const Poll& poll) const {
  std::vector<std::int32_t> tokens, offsets{0};
  for (const Piece& piece : pieces) {
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    offsets.push_back(static_cast<std::int32_t>(tokens.size()));
  }
  const auto n_row = static_cast<std::int64_t>(tokens.size()), n_seq = static_cast<std::int64_t>(pieces.size());
  StreamedLayers::Use streaming(streamed.get());
  std::optional<Pass> before;  // of the previous stage
  for (const Stage& stage : stages) {
    Device& device = *devices[stage.device];
    Workspace& workspace = workspaces[stage.device];
    Pass pass(device, workspace, poll, {n_seq, n_row, upload(device, workspace, offsets)}, state_layout->matrix_type(device),
              workspace.rows(n_row, config.n_embd),
              architecture->carries_v_first ? workspace.rows(n_row, config.n_att) : Rows{});
    if (!before) {
      stem.run(pass, upload(device, workspace, tokens));
    } else {
      hand_over(before->device(), before->x, device, pass.x);
      if (stage.first < stage.end) hand_over(before->device(), before->v_first, device, pass.v_first);
    }
    void* const* slots = upload(device, workspace, slot_pointers(pieces, *state_layout, stage));
    for (std::size_t layer = stage.first; layer < stage.end; ++layer) {
      streaming.begin(layer);
      pass.run(*blocks[layer], slots);
      streaming.end(layer);
      slots += static_cast<std::int64_t>(state_layout->slots.size()) * n_seq;
    }
    before.emplace(pass);
  }
  streaming.begin(blocks.size());
  run_head(*before, workspaces[stages.back().device], pieces, poll);
  streaming.end(blocks.size());
}

// Gathers the rows whose logits are wanted, so that the head's weights are read once for many sequences.
void Model::Impl::run_head(Pass& pass, Workspace& workspace, std::span<const Piece> pieces, const Poll& poll) const {
  Device& device = pass.device();
  const Rows x = pass.x;
  struct Wanted {
    const float* row;    // [C], on the device
    float* logits;       // [n_vocab], on the host; null: not these
    const Piece* drawn;  // from these logits; null: nothing
  };
  std::vector<Wanted> wanted;
  std::int64_t end = 0;
  for (const Piece& piece : pieces) {
    end += static_cast<std::int64_t>(piece.tokens.size());
    const auto n_logits = static_cast<std::int64_t>(piece.logits.size()) / config.n_vocab;
    const std::int64_t n = piece.sampler ? std::max<std::int64_t>(n_logits, 1) : n_logits;
    for (std::int64_t i = 0; i < n; ++i) {
      wanted.push_back({x.data + (end - n + i) * x.n_col, i < n_logits ? piece.logits.data() + i * config.n_vocab : nullptr,
                        piece.sampler && i == n - 1 ? &piece : nullptr});
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
    for (std::int64_t i = 0; i < n; ++i) device.copy(rows.data + i * x.n_col, wanted[first + i].row, x.n_col * sizeof(float));
    head.run(device, rows, logits);
    std::vector<RowToDraw> draws;
    for (std::int64_t i = 0; i < n; ++i) {
      const Wanted& of = wanted[first + i];
      if (of.logits) device.download(of.logits, logits.data + i * config.n_vocab, config.n_vocab * sizeof(float));
      if (of.drawn) draws.push_back({i, of.drawn->sampler, of.drawn->drawn});
    }
    draw(device, workspace, logits, draws);
    workspace.release(mark);
  }
}

}  // namespace rwkv
