// SPDX-License-Identifier: Apache-2.0
// Owns the memory of a model's weights.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels/buffer.h"

namespace rwkv {

// Large weights have a buffer of their own. Small ones share buffers, so that they lie in few large pages too.
class WeightMemory {
 public:
  // Aligned to 64 bytes; as long as this lives. Throws OutOfMemoryError.
  void* take(Device& device, std::size_t bytes) {
    if (bytes >= kLarge) return buffers_.emplace_back(device, bytes).data();
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (rounded > left_ || &device != shared_on_) {
      left_ = 0;
      next_ = static_cast<std::byte*>(buffers_.emplace_back(device, kShared).data());
      left_ = kShared;
      shared_on_ = &device;
    }
    left_ -= rounded;
    next_ += rounded;
    return next_ - rounded;
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kLarge = std::size_t{2} << 20;
  static constexpr std::size_t kShared = std::size_t{32} << 20;  // what is left over at its end is never touched

  std::vector<Buffer> buffers_;
  Device* shared_on_ = nullptr;  // where the last shared buffer is
  std::byte* next_ = nullptr;    // its first free byte
  std::size_t left_ = 0;         // bytes free in it
};

}  // namespace rwkv
