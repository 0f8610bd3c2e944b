// SPDX-License-Identifier: Apache-2.0
// Copies to a device beside its kernels: weights that do not fit there are sent to one of two areas while the other one is
// read.
#pragma once
#include <cstddef>

namespace rwkv {

class CopyQueue {
 public:
  virtual ~CopyQueue() = default;

  // Host memory that copies are made from, as long as the queue lives. Throws OutOfMemoryError.
  [[nodiscard]] virtual std::byte* host_memory(std::size_t bytes) = 0;

  // Copies to area 0 or 1 when the kernels asked for so far have run. Does not wait.
  virtual void send(int area, void* to, const std::byte* from, std::size_t bytes) = 0;
  // Kernels asked for from now on find what was sent last to this area.
  virtual void receive(int area) = 0;
};

}  // namespace rwkv
