// SPDX-License-Identifier: Apache-2.0
// Memory of the current CUDA device for a test.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/check.h"

namespace rwkv::test {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::int64_t n) : n_(n) { cuda::check(cudaMalloc(&memory_, n * sizeof(T))); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<std::int64_t>(values.size())) {
    cuda::check(cudaMemcpy(memory_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice));
    cuda::check(cudaStreamSynchronize(nullptr));  // the copy may be on its way still, and not all streams wait for this one
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(memory_); }

  [[nodiscard]] T* data() const { return static_cast<T*>(memory_); }
  // After all work that the device was given.
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> copy(n_);
    cuda::check(cudaDeviceSynchronize());
    cuda::check(cudaMemcpy(copy.data(), memory_, n_ * sizeof(T), cudaMemcpyDeviceToHost));
    return copy;
  }

 private:
  void* memory_ = nullptr;
  std::int64_t n_;
};

}  // namespace rwkv::test
