// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace rwkv::cuda {

void Staging::upload(cudaStream_t stream, void* device, const void* host, std::size_t bytes) {
  for (std::size_t first = 0; first < bytes; first += kPartBytes) {
    const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed) % kParts, n = std::min(kPartBytes, bytes - first);
    std::byte* const part = memory_.data() + i * kPartBytes;
    const std::lock_guard lock(parts_[i].lock);
    parts_[i].sent.synchronize();
    std::memcpy(part, static_cast<const std::byte*>(host) + first, n);
    check(cudaMemcpyAsync(static_cast<std::byte*>(device) + first, part, n, cudaMemcpyHostToDevice, stream));
    parts_[i].sent.record(stream);
  }
}

}  // namespace rwkv::cuda
