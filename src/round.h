// SPDX-License-Identifier: Apache-2.0
// One round of a forward: the packed rows of some sequences, what the kernels read beside them, and where logits go.
#pragma once
#include <rwkv/sampler.h>
#include <rwkv/state.h>

#include <cstdint>
#include <span>
#include <vector>

#include "arch/workspace.h"

namespace rwkv {

// Some tokens of one sequence of the batch, at least one.
struct Piece {
  std::span<const Token> tokens;
  State::Impl* state;
  std::span<float> logits;     // [n_vocab] for the last of `tokens`, [tokens, n_vocab] for all, or empty
  Sampler* sampler = nullptr;  // draws the token after the last of `tokens`
  Token* drawn = nullptr;
  std::span<float> kept = {};  // as logits, but on the head's device

  // Whether there is something that the host waits for.
  [[nodiscard]] bool brings_back() const { return !logits.empty() || sampler; }
};

struct Round {
  Round(std::span<const Piece> pieces, std::size_t n_vocab);

  // A row whose logits are wanted.
  struct Wanted {
    float *host, *kept;  // [n_vocab], where these logits go; null: not there
    const Piece* drawn;  // from them; null: nothing
  };

  std::span<const Piece> pieces;
  std::vector<std::int32_t> offsets, tokens;  // [n_seq + 1]; [R]
  std::vector<Wanted> wanted;                 // of all sequences
  std::vector<std::int32_t> wanted_rows;      // [wanted], of R

  [[nodiscard]] std::int64_t n_seq() const { return std::ssize(pieces); }
  [[nodiscard]] std::int64_t n_row() const { return std::ssize(tokens); }
  [[nodiscard]] std::int64_t n_wanted() const { return std::ssize(wanted); }

  // Rounds of one token for each of as many sequences, with as many rows wanted, give a device the same to do.
  [[nodiscard]] bool is_step() const { return n_row() == n_seq(); }
};

// What the kernels of a stage read of a round.
struct RoundInputs {
  void* const* slots;           // [blocks of the stage][slots][n_seq]
  const std::int32_t* offsets;  // [n_seq + 1]
  const std::int32_t* tokens;   // [R]
  const std::int32_t* wanted;   // [n_wanted]
};

// In one piece of memory.
[[nodiscard]] RoundInputs upload(Workspace& workspace, const Round& round, const std::vector<void*>& slots);

// Hands out logits [wanted, n_vocab], which it may overwrite, and draws from them.
void deliver(Workspace& workspace, Rows logits, std::span<const Round::Wanted> wanted);

}  // namespace rwkv
