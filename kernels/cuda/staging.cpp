// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace rwkv::cuda {

template <class Use>
void Staging::Ring::with_part(const Use& use) {
  const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed) % parts_.size();
  const std::lock_guard lock(parts_[i].lock);
  parts_[i].copied.synchronize();
  use(memory_.data() + i * kPartBytes, parts_[i].copied);
}

template <class Send>
void Staging::through_part(cudaStream_t stream, const void* host, std::size_t n, const Send& send) {
  up_.with_part([&](std::byte* part, const Event& copied) {
    std::memcpy(part, host, n);
    send(part);
    copied.record(stream);
  });
}

void Staging::upload(cudaStream_t stream, void* device, const void* host, std::size_t bytes) {
  for (std::size_t first = 0; first < bytes; first += kPartBytes) {
    const std::size_t n = std::min(kPartBytes, bytes - first);
    through_part(stream, static_cast<const std::byte*>(host) + first, n, [&](const std::byte* part) {
      check(cudaMemcpyAsync(static_cast<std::byte*>(device) + first, part, n, cudaMemcpyHostToDevice, stream));
    });
  }
}

void Staging::upload_rows(cudaStream_t stream, void* device, std::size_t stride, const void* host, std::size_t row_bytes,
                          std::size_t n_row) {
  auto* const to = static_cast<std::byte*>(device);
  const auto* const from = static_cast<const std::byte*>(host);
  if (row_bytes > kPartBytes) {
    for (std::size_t i = 0; i < n_row; ++i) upload(stream, to + i * stride, from + i * row_bytes, row_bytes);
    return;
  }
  if (row_bytes == 0) return;
  const std::size_t at_once = kPartBytes / row_bytes;
  for (std::size_t first = 0; first < n_row; first += at_once) {
    const std::size_t n = std::min(at_once, n_row - first);
    through_part(stream, from + first * row_bytes, n * row_bytes, [&](const std::byte* part) {
      check(cudaMemcpy2DAsync(to + first * stride, stride, part, row_bytes, row_bytes, n, cudaMemcpyHostToDevice, stream));
    });
  }
}

void Staging::download(cudaStream_t stream, void* host, const void* device, std::size_t bytes) {
  for (std::size_t first = 0; first < bytes; first += kPartBytes) {
    const std::size_t n = std::min(kPartBytes, bytes - first);
    down_.with_part([&](std::byte* part, const Event& copied) {
      check(cudaMemcpyAsync(part, static_cast<const std::byte*>(device) + first, n, cudaMemcpyDeviceToHost, stream));
      copied.record(stream);
      copied.synchronize();
      std::memcpy(static_cast<std::byte*>(host) + first, part, n);
    });
  }
}

}  // namespace rwkv::cuda
