// SPDX-License-Identifier: Apache-2.0
// Checkpoint to model: identify, check, place, load.
#pragma once
#include <rwkv/model.h>

#include <memory>

#include "checkpoint/checkpoint.h"
#include "forward.h"

namespace rwkv {

// A checkpoint whose tensors were all found and have the right shapes.
struct CheckedCheckpoint {
  std::unique_ptr<Checkpoint> file;
  const Architecture* architecture;
  ModelConfig config;
  std::vector<std::string> unused;  // tensors that nobody asked for
  bool half_states;                 // LoadOptions::fp16_state

  [[nodiscard]] std::string stored_type() const;  // of the matrices: "bf16", or "mixed"
};

[[nodiscard]] CheckedCheckpoint check_checkpoint(const std::filesystem::path& path, const LoadOptions& options);
[[nodiscard]] CheckedCheckpoint check_checkpoint(std::unique_ptr<Checkpoint> opened, const LoadOptions& options);

[[nodiscard]] std::shared_ptr<const Model::Impl> load_model(const CheckedCheckpoint& checkpoint, std::string_view strategy,
                                                            const LoadOptions& options);

// The public face of what load_model() loaded.
[[nodiscard]] Model make_model(std::shared_ptr<const Model::Impl> impl);

}  // namespace rwkv
