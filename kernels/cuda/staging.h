// SPDX-License-Identifier: Apache-2.0
// Uploads and downloads through pinned memory. The caller's memory is free again when an upload is copied there, whatever the
// stream still has to do.
#pragma once
#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "kernels/cuda/owned.h"

namespace rwkv::cuda {

class Staging {
 public:
  // Several threads at once; they fill different parts.
  void upload(cudaStream_t stream, void* device, const void* host, std::size_t bytes);
  void upload_rows(cudaStream_t stream, void* device, std::size_t stride, const void* host, std::size_t row_bytes,
                   std::size_t n_row);
  // Waits for it.
  void download(cudaStream_t stream, void* host, const void* device, std::size_t bytes);

 private:
  static constexpr std::size_t kPartBytes = std::size_t{2} << 20;

  struct Part {
    std::mutex lock;
    Event copied;  // from it, or to it
  };
  // Parts that are used in turn.
  class Ring {
   public:
    explicit Ring(std::size_t n_part) : memory_(n_part * kPartBytes), parts_(n_part) {}

    // Calls use(a part, its event) when the copy before has ended; nobody else has the part meanwhile.
    template <class Use>
    void with_part(const Use& use);

   private:
    PinnedMemory memory_;
    std::vector<Part> parts_;
    std::atomic<std::size_t> next_ = 0;
  };

  // Sends n bytes: copies them to a part, and calls send(the part).
  template <class Send>
  void through_part(cudaStream_t stream, const void* host, std::size_t n, const Send& send);

  // Parts enough for the small uploads of two rounds of a forward, and for the threads of a load to fill while others are sent.
  // Those of downloads are apart: they are taken until their stream has come to the copy.
  Ring up_{8}, down_{2};
};

}  // namespace rwkv::cuda
