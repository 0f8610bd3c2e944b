// SPDX-License-Identifier: Apache-2.0
// Where weights lie and kernels run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/copy_queue.h"

namespace rwkv {

struct KernelTable;

// What some work gave a device to do, kept to be done again.
class Recording {
 public:
  virtual ~Recording() = default;

  // As the work itself: at the same addresses, with what lies there then. Like a kernel it does not wait.
  virtual void replay() = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  [[nodiscard]] virtual std::string name() const = 0;  // "cpu (AVX3, 2 threads)"
  [[nodiscard]] virtual const KernelTable& kernels() const = 0;

  // Whether its memory is the host's.
  [[nodiscard]] virtual bool is_host() const noexcept = 0;

  // Its number among the devices of its kind; 0 for the host.
  [[nodiscard]] virtual int ordinal() const noexcept = 0;

  // Bytes that can be allocated, as far as the system says; the largest number where it does not.
  [[nodiscard]] virtual std::int64_t available_memory() const = 0;

  // Aligned to 64 bytes, contents undefined. Throws OutOfMemoryError.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  // What allocate(bytes) gave. Large memory goes back to the system at once.
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;

  // Host to device and back; they return when the host memory may be used again. Several threads may upload at once.
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  // The same for n_row pieces of row_bytes each, without gaps on the host, `stride` bytes apart on the device.
  virtual void upload_rows(void* device, std::size_t stride, const void* host, std::size_t row_bytes, std::size_t n_row) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;

  // Within the device.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;

  // From another device's memory, after what it and this one were asked for before, and before what they are asked for later.
  virtual void receive(void* to, Device& other, const void* from, std::size_t bytes) = 0;
  // Returns when all that the device was given to do before is done, so that others may look at its memory.
  virtual void synchronize() = 0;

  // Copies beside the kernels, for weights that do not fit; null where the device's memory is the host's.
  [[nodiscard]] virtual std::unique_ptr<CopyQueue> copy_queue() = 0;

  // Kernels hand at most so many bytes of the device's own memory to each other (CommonKernels::scratch_bytes): once this has
  // returned, they allocate nothing. Throws OutOfMemoryError.
  virtual void reserve_scratch(std::size_t bytes) = 0;

  // What `work` gives the device to do by kernels and copy(), which is all that it may call. None of it is done, and nothing
  // that other threads ask for meanwhile is recorded. Null if this device does not record, without a call of `work`, or cannot:
  // where memory is short, or kernels want more of their own than they have (so `work` has to have run once before).
  [[nodiscard]] virtual std::unique_ptr<Recording> record([[maybe_unused]] const std::function<void()>& work) {
    return nullptr;
  }

  // Calls task(0) .. task(n - 1), each once, on the host's threads that serve this device, the calling one among them; returns
  // when all are done. Tasks do not throw.
  virtual void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& task) = 0;
};

}  // namespace rwkv
