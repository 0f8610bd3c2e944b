// SPDX-License-Identifier: Apache-2.0
#include "round.h"

#include <algorithm>
#include <cstring>

#include "sampling/draw.h"

namespace rwkv {

Round::Round(std::span<const Piece> all, std::size_t n_vocab) : pieces(all), offsets{0} {
  for (const Piece& piece : pieces) {
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    const std::size_t n_logits = piece.logits.size() / n_vocab, n = std::max<std::size_t>(n_logits, piece.sampler ? 1 : 0);
    for (std::size_t i = 0; i < n; ++i) {
      wanted.push_back(
          {piece.logits.subspan(i * n_vocab, i < n_logits ? n_vocab : 0), piece.sampler && i == n - 1 ? &piece : nullptr});
      wanted_rows.push_back(static_cast<std::int32_t>(tokens.size() - n + i));
    }
  }
}

RoundInputs upload(Workspace& workspace, const Round& round, const std::vector<void*>& slots) {
  std::vector<std::byte> host;
  const auto add = [&](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    host.insert(host.end(), bytes.begin(), bytes.end());
  };
  add(slots);
  add(round.offsets);
  add(round.tokens);
  add(round.wanted_rows);
  const std::byte* const memory = workspace.upload(host);
  const auto* const offsets = reinterpret_cast<const std::int32_t*>(memory + slots.size() * sizeof(void*));
  const std::int32_t* const tokens = offsets + round.offsets.size();
  return {reinterpret_cast<void* const*>(memory), offsets, tokens, tokens + round.tokens.size()};
}

void deliver(Workspace& workspace, Rows logits, std::span<const Round::Wanted> wanted) {
  Device& device = workspace.device();
  for (std::size_t first = 0, end; first < wanted.size(); first = end) {
    const std::span<float> host = wanted[first].logits;
    end = first + 1;
    if (host.empty()) continue;
    const auto is_next = [&](std::span<const float> next) {
      return !next.empty() && next.data() == host.data() + (end - first) * host.size();
    };
    while (end < wanted.size() && is_next(wanted[end].logits)) ++end;  // one behind the other on the host too: at once
    device.download(host.data(), logits.data + first * host.size(), (end - first) * host.size_bytes());
  }
  std::vector<RowToDraw> draws;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (const Piece* const of = wanted[i].drawn) draws.push_back({static_cast<std::int64_t>(i), of->sampler, of->drawn});
  }
  draw(device, workspace, logits, draws);
}

}  // namespace rwkv
