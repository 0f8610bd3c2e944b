// SPDX-License-Identifier: Apache-2.0
// Owners of what the CUDA runtime hands out beside memory (memory.h), of the device that is current when they are made.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>

#include "kernels/cuda/check.h"

namespace rwkv::cuda {

// Until this ends, the calling thread uses this device; then again the one before: others may use CUDA in this process.
class CurrentDevice {
 public:
  explicit CurrentDevice(int ordinal) : ordinal_(ordinal) {
    check(cudaGetDevice(&before_));
    if (before_ != ordinal_) check(cudaSetDevice(ordinal_));
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  ~CurrentDevice() {
    if (before_ != ordinal_) static_cast<void>(cudaSetDevice(before_));
  }

 private:
  int ordinal_, before_ = 0;
};

// Waits for no other stream, nor does one wait for it.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }
  void synchronize() const { check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

// Without times.
class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }

  void record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream)); }
  void synchronize() const { check(cudaEventSynchronize(event_)); }  // at once if it was never recorded
  // What the stream gets from now on runs after what was recorded.
  void wait(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, event_)); }
  // What `then` gets from now on runs after what `first` has got so far.
  void order(cudaStream_t first, cudaStream_t then) const {
    record(first);
    wait(then);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Host memory that devices reach by themselves.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes) {
    const cudaError_t error = cudaHostAlloc(&data_, bytes, cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // so that the next launch does not report it
      throw OutOfMemoryError("out of pinned host memory allocating " + std::to_string(bytes) + " bytes");
    }
    check(error);
  }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory() { static_cast<void>(cudaFreeHost(data_)); }

  [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }

 private:
  void* data_ = nullptr;
};

}  // namespace rwkv::cuda
