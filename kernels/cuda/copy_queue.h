// SPDX-License-Identifier: Apache-2.0
// Copies on a stream of their own; events in both directions tie them to the kernels' stream.
#pragma once
#include <deque>

#include "kernels/copy_queue.h"
#include "kernels/cuda/owned.h"

namespace rwkv::cuda {

// One thread at a time.
class CopyStream final : public CopyQueue {
 public:
  // kernels: the stream of the kernels that read what is sent; `ordinal` is its device, the current one.
  CopyStream(int ordinal, cudaStream_t kernels) : ordinal_(ordinal), kernels_(kernels) {}
  ~CopyStream() override;

  [[nodiscard]] std::byte* host_memory(std::size_t bytes) override;
  void send(int area, void* to, const std::byte* from, std::size_t bytes) override;
  void receive(int area) override;

 private:
  int ordinal_;
  cudaStream_t kernels_;
  std::deque<PinnedMemory> memory_;
  Stream copies_;
  struct Area {
    Event read, written;  // on the kernels' stream; on that of the copies
  } areas_[2];
};

}  // namespace rwkv::cuda
