// SPDX-License-Identifier: Apache-2.0
// Owner of memory of the CUDA device that is current when it is made.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include "kernels/cuda/check.h"

namespace rwkv::cuda {

// "5.4 GiB", "17.0 MiB", "600 bytes"
[[nodiscard]] inline std::string size_text(std::size_t bytes) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  if (bytes < kMiB) return std::to_string(bytes) + " bytes";
  const bool large = bytes >= 1024 * kMiB;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", static_cast<double>(bytes) / static_cast<double>(large ? 1024 * kMiB : kMiB),
                large ? "GiB" : "MiB");
  return text;
}

// Aligned to 256 bytes, contents undefined. Throws OutOfMemoryError that says which device, how much, and how much is free.
[[nodiscard]] inline void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
  if (error != cudaErrorMemoryAllocation) {
    check(error);
    return memory;
  }
  static_cast<void>(cudaGetLastError());  // so that the next launch does not report it
  int device = 0;
  std::size_t free = 0, total = 0;
  check(cudaGetDevice(&device));
  check(cudaMemGetInfo(&free, &total));
  throw OutOfMemoryError("cuda:" + std::to_string(device) + ": out of memory allocating " + size_text(bytes) +
                         " (free: " + size_text(free) + ")");
}

class Memory {
 public:
  Memory() noexcept = default;
  explicit Memory(std::size_t bytes) : data_(allocate(bytes)), bytes_(bytes) {}
  Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory() { static_cast<void>(cudaFree(data_)); }  // waits for the kernels that use it

  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace rwkv::cuda
