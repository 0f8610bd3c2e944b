// SPDX-License-Identifier: Apache-2.0
// Memory of one forward: handed out from the front, taken back all at once. It keeps its size for the next forward.
#pragma once
#include <cstddef>
#include <vector>

#include "arch/recorded_steps.h"
#include "kernels/buffer.h"
#include "kernels/tensor.h"

namespace rwkv {

class Workspace {
 public:
  // bytes: taken at once. What a forward may need, so that it does not run out of memory half way.
  Workspace(Device& device, std::size_t bytes) : device_(device) { blocks_.emplace_back(device, bytes); }

  [[nodiscard]] Device& device() const noexcept { return device_; }

  [[nodiscard]] void* allocate(std::size_t bytes);
  [[nodiscard]] Rows rows(std::int64_t n_row, std::int64_t n_col) {
    return {static_cast<float*>(allocate(n_row * n_col * sizeof(float))), n_row, n_col};
  }

  // A copy of what the host has.
  template <class T>
  [[nodiscard]] T* upload(const std::vector<T>& values) {
    T* const memory = static_cast<T*>(allocate(values.size() * sizeof(T)));
    device_.upload(memory, values.data(), values.size() * sizeof(T));
    return memory;
  }

  // What was handed out after mark() is free again after release().
  struct Mark {
    std::size_t block, used;
  };
  [[nodiscard]] Mark mark() const noexcept { return {block_, used_}; }
  void release(Mark mark) noexcept {
    block_ = mark.block;
    used_ = mark.used;
  }

  // Most bytes of the first block that were in use at once.
  [[nodiscard]] std::size_t peak() const noexcept { return peak_; }

  RecordedSteps steps;  // at the addresses that were handed out

 private:
  Device& device_;
  std::vector<Buffer> blocks_;  // never moved while in use; blocks_[block_] is being handed out
  std::size_t block_ = 0, used_ = 0, peak_ = 0;
};

}  // namespace rwkv
