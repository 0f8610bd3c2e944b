// SPDX-License-Identifier: Apache-2.0
// Uploads through pinned memory: the caller's memory is free again when it is copied there, whatever the stream still has to
// do.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>

#include "kernels/cuda/owned.h"

namespace rwkv::cuda {

class Staging {
 public:
  // Several threads at once; they fill different parts.
  void upload(cudaStream_t stream, void* device, const void* host, std::size_t bytes);
  void upload_rows(cudaStream_t stream, void* device, std::size_t stride, const void* host, std::size_t row_bytes,
                   std::size_t n_row);

 private:
  // Parts enough for the small uploads of two rounds of a forward, and for the threads of a load to fill while others are sent.
  static constexpr std::size_t kParts = 8, kPartBytes = std::size_t{2} << 20;

  // Sends n bytes: copies them to a part, and calls send(the part).
  template <class Send>
  void through_part(cudaStream_t stream, const void* host, std::size_t n, const Send& send);

  struct Part {
    std::mutex lock;
    Event sent;
  };
  PinnedMemory memory_{kParts * kPartBytes};
  std::array<Part, kParts> parts_;
  std::atomic<std::size_t> next_ = 0;
};

}  // namespace rwkv::cuda
