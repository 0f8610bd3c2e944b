// SPDX-License-Identifier: Apache-2.0
// Decode steps on a device other than the host: every sequence has one token, so that steps of as many sequences give the
// device the same to do, which it records and replays (arch/recorded_steps.h). A step is an upload, a launch and a download.
#include <algorithm>
#include <cstring>

#include "forward.h"
#include "sampling/draw.h"

namespace rwkv {
namespace {

// What the kernels of a step read, in one piece of memory: which slots, rows and tokens is no part of what is recorded.
struct Inputs {
  void* const* slots;           // [n_layer][slots][n_seq]
  const std::int32_t* offsets;  // [n_seq + 1]
  const std::int32_t* tokens;   // [n_seq]
};

Inputs upload_inputs(Device& device, Workspace& workspace, std::span<const Piece> pieces, const std::vector<void*>& slots) {
  std::vector<std::int32_t> numbers;
  for (std::size_t i = 0; i <= pieces.size(); ++i) numbers.push_back(static_cast<std::int32_t>(i));
  for (const Piece& piece : pieces) numbers.push_back(piece.tokens.front());
  const std::size_t of_slots = slots.size() * sizeof(void*), of_numbers = numbers.size() * sizeof(std::int32_t);
  std::vector<std::byte> host(of_slots + of_numbers);
  std::memcpy(host.data(), slots.data(), of_slots);
  std::memcpy(host.data() + of_slots, numbers.data(), of_numbers);

  auto* const memory = static_cast<std::byte*>(workspace.allocate(host.size()));
  device.upload(memory, host.data(), host.size());
  const auto* const offsets = reinterpret_cast<const std::int32_t*>(memory + of_slots);
  return {reinterpret_cast<void* const*>(memory), offsets, offsets + pieces.size() + 1};
}

// Those that lie one behind the other on the host too in one piece.
void download_logits(Device& device, Rows logits, std::span<const Piece> pieces) {
  for (std::size_t first = 0, end; first < pieces.size(); first = end) {
    const std::span<float> host = pieces[first].logits;
    end = first + 1;
    if (host.empty()) continue;
    while (end < pieces.size() && pieces[end].logits.data() == host.data() + (end - first) * host.size()) ++end;
    device.download(host.data(), logits.data + first * host.size(), (end - first) * host.size_bytes());
  }
}

bool wants_logits(const Piece& piece) { return !piece.logits.empty() || piece.sampler; }

}  // namespace

bool Model::Impl::replays_steps() const {
  return stages.size() == 1 && !devices.front()->is_host() && std::ranges::none_of(placements, &Placement::streamed);
}

bool Model::Impl::is_step(std::span<const Piece> pieces) const {
  return replays_steps() && std::ranges::all_of(pieces, [&](const Piece& piece) {
           return piece.tokens.size() == 1 && wants_logits(piece) == wants_logits(pieces.front());
         });
}

void Model::Impl::run_step(std::span<const Piece> pieces, Workspace& workspace) const {
  Device& device = *devices.front();
  const auto n_seq = static_cast<std::int64_t>(pieces.size());
  const bool wanted = wants_logits(pieces.front());
  // At the same addresses in all steps of a shape, as nothing was handed out before.
  const Inputs inputs = upload_inputs(device, workspace, pieces, slot_pointers(pieces, *state_layout, stages.front()));
  const Rows logits = wanted ? workspace.rows(n_seq, config.n_vocab) : Rows{};
  const Workspace::Mark mark = workspace.mark();
  workspace.steps.run(device, {n_seq, wanted}, [&] {
    workspace.release(mark);
    const Poll none;
    Pass pass(device, workspace, none, {n_seq, n_seq, inputs.offsets}, state_layout->matrix_type(device),
              workspace.rows(n_seq, config.n_embd),
              architecture->carries_v_first ? workspace.rows(n_seq, config.n_att) : Rows{});
    stem.run(pass, inputs.tokens);
    void* const* slots = inputs.slots;
    for (const auto& block : blocks) {
      pass.run(*block, slots);
      slots += static_cast<std::int64_t>(state_layout->slots.size()) * n_seq;
    }
    if (wanted) head.run(device, pass.x, logits);
  });
  download_logits(device, logits, pieces);
  std::vector<RowToDraw> draws;
  for (std::int64_t i = 0; i < n_seq; ++i) {
    if (pieces[i].sampler) draws.push_back({i, pieces[i].sampler, pieces[i].drawn});
  }
  draw(device, workspace, logits, draws);
}

}  // namespace rwkv
