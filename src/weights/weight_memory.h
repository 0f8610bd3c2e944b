// SPDX-License-Identifier: Apache-2.0
// Where weights go: a part of a device's memory, handed out from the front in the order of loading.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "kernels/buffer.h"

namespace rwkv {

// Without memory it only counts: the code that loads says first how much it will need. It owns nothing.
class WeightMemory {
 public:
  WeightMemory() noexcept = default;
  // image: weights are written there instead, in host memory, in the same order; null: into `memory`.
  WeightMemory(Device& device, const Buffer& memory, std::byte* image = nullptr)
      : device_(&device), begin_(static_cast<std::byte*>(memory.data())), bytes_(memory.bytes()), image_(image) {}

  [[nodiscard]] Device* device() const noexcept { return device_; }  // null: it only counts
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

  // Aligned to 64 bytes, on the device; where it only counts, an address of nothing.
  [[nodiscard]] std::byte* take(std::size_t bytes) {
    const std::size_t first = used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ > bytes_) throw std::logic_error("weights need more memory than they said");
    return begin_ + first;
  }

  // Where the host writes what take() gave; null where it cannot.
  [[nodiscard]] std::byte* host(std::byte* memory) const noexcept {
    if (image_) return image_ + (memory - begin_);
    return device_->is_host() ? memory : nullptr;
  }

  // As those of Device.
  void upload(std::byte* to, const void* from, std::size_t bytes) const {
    if (!image_) return device_->upload(to, from, bytes);
    if (bytes > 0) std::memcpy(host(to), from, bytes);
  }
  void upload_rows(std::byte* to, std::size_t stride, const void* from, std::size_t row_bytes, std::size_t n_row) const {
    if (!image_) return device_->upload_rows(to, stride, from, row_bytes, n_row);
    for (std::size_t i = 0; i < n_row; ++i) {
      upload(to + i * stride, static_cast<const std::byte*>(from) + i * row_bytes, row_bytes);
    }
  }

 private:
  static constexpr std::size_t kAlignment = 64;

  Device* device_ = nullptr;
  std::byte* begin_ = reinterpret_cast<std::byte*>(kAlignment);
  std::size_t bytes_ = SIZE_MAX, used_ = 0;
  std::byte* image_ = nullptr;
};

}  // namespace rwkv
