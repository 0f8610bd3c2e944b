// SPDX-License-Identifier: Apache-2.0
// All that differs between RWKV versions. Each rwkvN.cpp defines one Architecture and nothing else that is public.
#pragma once
#include <rwkv/model.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "kernels/kernels.h"
#include "weights/weight_loader.h"

namespace rwkv {

class Pass;

// One array of a block's state.
struct Slot {
  std::string name;
  std::vector<std::int64_t> shape;
  float initial = 0.0f;

  [[nodiscard]] std::int64_t count() const {
    std::int64_t n = 1;
    for (const std::int64_t size : shape) n *= size;
    return n;
  }
  // S of versions 5 to 7.
  [[nodiscard]] bool is_matrix() const { return shape.size() == 3; }
};

// One layer: its weights and the two steps x = x + TimeMix(...), x = x + ChannelMix(...) on the pass's residual stream.
class Block {
 public:
  virtual ~Block() = default;
  virtual void run(Pass& pass) const = 0;
};

struct Architecture {
  int version;
  bool (*matches)(const Checkpoint&);                    // by tensor names
  ModelConfig (*read_config)(const Checkpoint&);         // by shapes; throws CheckpointError
  std::vector<Slot> (*state_slots)(const ModelConfig&);  // per block, in the order of State::arrays()
  bool carries_v_first;                                  // rows [R, n_att] handed from block to block within a call
  bool (*runs_on)(const KernelTable&);
  std::unique_ptr<Block> (*load_block)(WeightLoader&, const ModelConfig&, int layer);
};

extern const Architecture kRwkv4, kRwkv5, kRwkv6, kRwkv7;

// The one that a checkpoint's tensors belong to. Throws CheckpointError, which says what the file is instead.
[[nodiscard]] const Architecture& identify(const Checkpoint& file);

// The one of a version; null if there is none.
[[nodiscard]] const Architecture* find_architecture(int version) noexcept;

// For read_config: the sizes that all versions find in the same places. Throws CheckpointError for missing tensors.
[[nodiscard]] ModelConfig read_common_config(const Checkpoint& file, int version);

// Shape of a tensor that has `least` to `most` dimensions. Throws CheckpointError.
[[nodiscard]] const std::vector<std::int64_t>& require_shape(const Checkpoint& file, const std::string& name, std::size_t least,
                                                             std::size_t most);

// Sets n_head and head_size. Throws CheckpointError unless n_head divides n_att.
void set_heads(const Checkpoint& file, ModelConfig& config, std::int64_t n_head);

// att_x, S, ffn_x: the slots of versions 5 to 7. S is [H, N, N].
[[nodiscard]] std::vector<Slot> matrix_state_slots(const ModelConfig& config);

}  // namespace rwkv
