// SPDX-License-Identifier: Apache-2.0
// Which tensors a converted file holds, and from what they are made.
#pragma once
#include "checkpoint/checkpoint.h"

#include <optional>
#include <string>
#include <vector>

namespace rwkv::cli {

enum class TargetType { fp32, fp16, bf16, i8, i4 };

// One tensor of the input, and how it is written.
struct Step {
  const TensorInfo* input;
  FileType type;  // of the output; u8: quantised
  // In the order they are written. i8: NAME as u8, then NAME.mx, NAME.rx [n_out], NAME.my, NAME.ry [n_in] as fp32. i4: NAME as
  // u8 [n_out, n_in / 2], NAME.scale as bf16 [n_out, n_in / 32].
  std::vector<TensorInfo> outputs;
  [[nodiscard]] bool is_i4() const { return outputs.size() == 2; }
};

// Matrices change their type, as the strategy of that name would change it at load; all else keeps the type of the file (64
// bits: fp32). i8 and i4 quantise what the strategies do: the `.weight` matrices but the embeddings. The input's vocabulary is
// left out. Throws CheckpointError for tensors that are not floating point.
[[nodiscard]] std::vector<Step> plan_conversion(const Checkpoint& input, TargetType type);

}  // namespace rwkv::cli
