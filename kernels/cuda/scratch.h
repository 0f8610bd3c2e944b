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
    // 0, as each kernel leaves them.
    [[nodiscard]] unsigned* counters() const noexcept { return counters_; }

   private:
    friend class Scratch;
    Use(std::unique_lock<std::mutex> lock, void* data, unsigned* counters)
        : lock_(std::move(lock)), data_(data), counters_(counters) {}
    std::unique_lock<std::mutex> lock_;
    void* data_;
    unsigned* counters_;
  };

  // Contents undefined, aligned to 256 bytes. Throws OutOfMemoryError; DeviceError where it would have to grow while the stream
  // is captured: what is captured has to run once before. A second use within a use waits for ever.
  [[nodiscard]] Use use(cudaStream_t stream, std::size_t bytes, std::size_t n_counter = 0) {
    std::unique_lock lock(lock_);
    if (too_small(kept_, bytes)) grow(kept_, stream, bytes);
    if (too_small(counters_, n_counter * sizeof(unsigned))) {
      grow(counters_, stream, n_counter * sizeof(unsigned));
      check(cudaMemsetAsync(counters_.back().data(), 0, counters_.back().bytes(), stream));
    }
    return {std::move(lock), kept_.empty() ? nullptr : kept_.back().data(),
            counters_.empty() ? nullptr : static_cast<unsigned*>(counters_.back().data())};
  }

  // The same without memory, for launches that were captured before.
  [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(lock_); }

 private:
  static bool too_small(const std::vector<Memory>& kept, std::size_t bytes) {
    return bytes > (kept.empty() ? 0 : kept.back().bytes());
  }

  static void grow(std::vector<Memory>& kept, cudaStream_t stream, std::size_t bytes) {
    cudaStreamCaptureStatus capture{};
    check(cudaStreamIsCapturing(stream, &capture));
    if (capture != cudaStreamCaptureStatusNone) {
      throw DeviceError("CUDA: " + size_text(bytes) + " of scratch memory wanted in a capture, which has not run before");
    }
    kept.emplace_back(std::max({bytes, kept.empty() ? 0 : 2 * kept.back().bytes(), kLeast}));
  }

  static constexpr std::size_t kLeast = std::size_t{1} << 20;
  std::mutex lock_;
  std::vector<Memory> kept_, counters_;
};

}  // namespace rwkv::cuda
