// SPDX-License-Identifier: Apache-2.0
#include "round.h"

#include <algorithm>

#include "sampling/draw.h"

namespace rwkv {
namespace {

// move(first, n) for n rows of which the targets lie one behind the other.
template <class Move>
void in_pieces(std::span<const Round::Wanted> wanted, float* Round::Wanted::*target, std::int64_t n_col, const Move& move) {
  for (std::size_t first = 0, end; first < wanted.size(); first = end) {
    float* const begin = wanted[first].*target;
    end = first + 1;
    if (!begin) continue;
    while (end < wanted.size() && wanted[end].*target == begin + (end - first) * n_col) ++end;
    move(first, end - first);
  }
}

}  // namespace

Round::Round(std::span<const Piece> all, std::size_t n_vocab) : pieces(all), offsets{0} {
  for (const Piece& piece : pieces) {
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    const std::size_t n =
        std::max({piece.logits.size() / n_vocab, piece.kept.size() / n_vocab, std::size_t{piece.sampler ? 1u : 0u}});
    // Of the i-th of these rows; all are the last ones.
    const auto place = [&](std::span<float> logits, std::size_t i) {
      const std::size_t behind = n - i;
      return behind * n_vocab > logits.size() ? nullptr : logits.data() + logits.size() - behind * n_vocab;
    };
    for (std::size_t i = 0; i < n; ++i) {
      wanted.push_back({place(piece.logits, i), place(piece.kept, i), piece.sampler && i == n - 1 ? &piece : nullptr});
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
  const std::size_t bytes = logits.n_col * sizeof(float);
  in_pieces(wanted, &Round::Wanted::kept, logits.n_col, [&](std::size_t first, std::size_t n) {
    device.copy(wanted[first].kept, logits.data + first * logits.n_col, n * bytes);
  });
  in_pieces(wanted, &Round::Wanted::host, logits.n_col, [&](std::size_t first, std::size_t n) {
    device.download(wanted[first].host, logits.data + first * logits.n_col, n * bytes);
  });
  std::vector<RowToDraw> draws;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (const Piece* const of = wanted[i].drawn) draws.push_back({static_cast<std::int64_t>(i), of->sampler, of->drawn});
  }
  draw(device, workspace, logits, draws);
}

}  // namespace rwkv
