// SPDX-License-Identifier: Apache-2.0
#include "forward.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace rwkv {
namespace {

// Rows of logits computed at once: bounds the memory for [tokens, n_vocab] results.
constexpr std::int64_t kHeadRows = 64;

void hand_over(const Pass& from, Rows rows, Device& to, Rows out) {
  if (rows.data) to.receive(out.data, from.device(), rows.data, rows.n_row * rows.n_col * sizeof(float));
}

}  // namespace

std::vector<void*> slot_pointers(std::span<const Piece> pieces, const StateLayout& layout, const Stage& stage) {
  std::vector<void*> pointers;
  const std::size_t n_slot = layout.slots.size();
  for (std::size_t n = stage.first * n_slot; n < stage.end * n_slot; ++n) {
    for (const Piece& piece : pieces) pointers.push_back(piece.state->array(n));
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

bool Model::Impl::replays_steps(std::size_t device) const {
  for (std::size_t layer = 0; layer < placements.size(); ++layer) {
    if (streams(layer) && device_of(layer) == device) return false;
  }
  return !devices[device]->is_host();
}

bool Model::Impl::replays_steps() const {
  return std::ranges::all_of(stages, [&](const Stage& stage) { return replays_steps(stage.device); });
}

void Model::Impl::run(std::span<const Piece> pieces, Workspaces& workspaces, const Poll& poll) const {
  const Round round(pieces, config.n_vocab);
  const Poll none;
  StreamedLayers::Use streaming(streamed.get());
  std::optional<Pass> before;  // of the previous stage
  for (const Stage& stage : stages) {
    Device& device = *devices[stage.device];
    Workspace& workspace = workspaces[stage.device];
    const bool replayed = round.is_step() && replays_steps(stage.device), last = &stage == &stages.back();
    if (replayed && poll) poll();
    const RoundInputs inputs = upload(workspace, round, slot_pointers(pieces, *state_layout, stage));
    Pass pass(device, workspace, replayed ? none : poll, {round.n_seq(), round.n_row(), inputs.offsets},
              state_layout->matrix_type(device), workspace.rows(round.n_row(), config.n_embd),
              architecture->carries_v_first ? workspace.rows(round.n_row(), config.n_att) : Rows{});
    if (before) {
      hand_over(*before, before->x, device, pass.x);
      if (stage.first < stage.end) hand_over(*before, before->v_first, device, pass.v_first);
    }
    const Rows logits = replayed && last ? workspace.rows(round.n_wanted(), config.n_vocab) : Rows{};
    const Workspace::Mark mark = workspace.mark();
    const auto work = [&] {
      workspace.release(mark);
      if (!before) stem.run(pass, inputs.tokens);
      run_blocks(pass, stage, inputs.slots, streaming);
      if (logits.n_row > 0) head.run(pass, inputs.wanted, logits);
    };
    if (replayed) {
      workspace.steps.run(device, {stage.first, round.n_seq(), round.n_wanted()}, work);
      if (last) deliver(workspace, logits, round.wanted);
    } else {
      work();
      if (last) run_head(pass, round, inputs.wanted, streaming);
    }
    before.emplace(pass);
  }
  for (const Piece& piece : pieces) piece.state->tokens_seen += static_cast<std::int64_t>(piece.tokens.size());
  for (Workspace& workspace : workspaces) workspace.release({0, 0});
}

void Model::Impl::run_blocks(Pass& pass, const Stage& stage, void* const* slots, StreamedLayers::Use& streaming) const {
  for (std::size_t layer = stage.first; layer < stage.end; ++layer) {
    streaming.begin(layer);
    pass.run(*blocks[layer], slots);
    streaming.end(layer);
    slots += std::ssize(state_layout->slots) * pass.batch().n_seq;
  }
}

// For the rows of all sequences together, so that the head's weights are read once for many. wanted: [round.wanted], on the
// device.
void Model::Impl::run_head(Pass& pass, const Round& round, const std::int32_t* wanted, StreamedLayers::Use& streaming) const {
  const std::int64_t polled = std::max<std::int64_t>(kPolledWork / (pass.x.n_col * config.n_vocab), 1);
  const std::int64_t at_once = pass.polls() ? std::min(polled, kHeadRows) : kHeadRows;
  Workspace& workspace = pass.workspace();
  streaming.begin(blocks.size());
  for (std::int64_t first = 0; first < round.n_wanted(); first += at_once) {
    const std::int64_t n = std::min(at_once, round.n_wanted() - first);
    const Workspace::Mark mark = workspace.mark();
    const Rows logits = workspace.rows(n, config.n_vocab);
    head.run(pass, wanted + first, logits);
    deliver(workspace, logits, std::span(round.wanted).subspan(first, n));
    workspace.release(mark);
  }
  streaming.end(blocks.size());
}

}  // namespace rwkv
