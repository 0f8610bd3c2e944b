// SPDX-License-Identifier: Apache-2.0
// From the values of a pickle to named tensors, and from a tensor's description to checked places in the file.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/inventory.h"
#include "checkpoint/pickle.h"

namespace rwkv {

struct NamedTensor {
  std::string_view name;
  const pickle::Tensor* tensor;
};

// The tensors of the top-level map, or of the map it holds as `state_dict`, `model` or `module`. Both point into `document`.
// Throws CheckpointError.
[[nodiscard]] std::vector<NamedTensor> named_tensors(const pickle::Document& document);

// The bytes of one storage.
struct Record {
  std::uint64_t at, size;
};

// Every element of the tensor lies inside its storage and no two share bytes. Throws CheckpointError naming the tensor.
[[nodiscard]] StoredTensor place(std::string_view name, const pickle::Tensor& tensor, const pickle::Storage& storage,
                                 const Record& record);

// Many tensors may share one storage, but a small file must not describe a huge model. Throws CheckpointError.
void check_total(const std::vector<StoredTensor>& tensors, std::uint64_t file_size);

}  // namespace rwkv
