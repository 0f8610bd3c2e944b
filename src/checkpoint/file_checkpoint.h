// SPDX-License-Identifier: Apache-2.0
// The checkpoint over a file: what all readers deliver.
#pragma once
#include <memory>

#include "checkpoint/byte_source.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/inventory.h"

namespace rwkv {

class FileCheckpoint final : public Checkpoint {
 public:
  // Sorts, checks names, strips a prefix that all names share (`_forward_module.`, `module.`, `model.`).
  FileCheckpoint(std::string path, std::unique_ptr<ByteSource> source, Inventory inventory);

  void read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) const override;
  void read_bytes(const TensorInfo& tensor, std::int64_t first, std::span<std::uint8_t> out) const override;
  void read_stored(const TensorInfo& tensor, std::int64_t first, std::span<std::byte> out) const override;

 private:
  [[nodiscard]] const TensorInfo& known_tensor(const std::string& name) const;
  // Calls read(layout) when elements [first, first + wanted) are there; errors name the file and the tensor.
  template <class Read>
  void read_any(const TensorInfo& tensor, std::int64_t first, std::int64_t wanted, const Read& read) const;

  struct Place {
    std::uint64_t at;
    std::vector<std::int64_t> stride;
  };
  std::unique_ptr<ByteSource> source_;
  std::vector<Place> places_;  // of tensors_[i]
};

// Finds the format by content and opens; `path` is for messages only. Throws CheckpointError.
[[nodiscard]] std::unique_ptr<Checkpoint> open_source(const std::string& path, std::unique_ptr<ByteSource> source);

}  // namespace rwkv
