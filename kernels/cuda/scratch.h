// SPDX-License-Identifier: Apache-2.0
// Device memory that launches of one call hand to each other on a stream, kept for later calls.
#pragma once
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/cuda/memory.h"

namespace rwkv::cuda {

// Of one stream: what later calls launch runs later, so all calls get the same memory. Outgrown memory stays until the end, as
// graphs captured before may use it: each is at least twice the one before, all together are less than twice the last.
class Scratch {
 public:
  // From here until this ends only the calling thread gives the stream launches that use the memory.
  class Use {
   public:
    [[nodiscard]] void* data() const noexcept { return data_; }
    [[nodiscard]] float* floats() const noexcept { return static_cast<float*>(data_); }

   private:
    friend class Scratch;
    Use(std::unique_lock<std::mutex> lock, void* data) : lock_(std::move(lock)), data_(data) {}
    std::unique_lock<std::mutex> lock_;
    void* data_;
  };

  // Contents undefined, aligned to 256 bytes. Throws OutOfMemoryError; DeviceError where it would have to grow while the stream
  // is captured: what is captured has to run once before. A second use within a use waits for ever.
  [[nodiscard]] Use use(cudaStream_t stream, std::size_t bytes) {
    std::unique_lock lock(lock_);
    if (kept_.empty() || kept_.back().bytes() < bytes) grow(stream, bytes);
    return {std::move(lock), kept_.back().data()};
  }

 private:
  void grow(cudaStream_t stream, std::size_t bytes) {
    cudaStreamCaptureStatus capture{};
    check(cudaStreamIsCapturing(stream, &capture));
    if (capture != cudaStreamCaptureStatusNone) {
      throw DeviceError("CUDA: " + size_text(bytes) + " of scratch memory wanted in a capture, which has not run before");
    }
    kept_.emplace_back(std::max({bytes, kept_.empty() ? 0 : 2 * kept_.back().bytes(), kLeast}));
  }

  static constexpr std::size_t kLeast = std::size_t{1} << 20;
  std::mutex lock_;
  std::vector<Memory> kept_;
};

}  // namespace rwkv::cuda
