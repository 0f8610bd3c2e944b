// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/copy_queue.h"

namespace rwkv::cuda {

// The memory must not go before the copies from it have ended.
CopyStream::~CopyStream() {
  try {
    copies_.synchronize();
  } catch (const Error&) {  // at the end of the process the runtime may be gone before this
  }
}

std::byte* CopyStream::host_memory(std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  return memory_.emplace_back(bytes).data();
}

void CopyStream::send(int area, void* to, const std::byte* from, std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  areas_[area].read.order(kernels_, copies_.get());
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, copies_.get()));
  areas_[area].written.record(copies_.get());
}

void CopyStream::receive(int area) {
  const CurrentDevice current(ordinal_);
  areas_[area].written.wait(kernels_);
}

}  // namespace rwkv::cuda
