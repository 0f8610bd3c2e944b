// SPDX-License-Identifier: Apache-2.0
// A device's work as a CUDA graph: a replay costs the host one launch, whatever the number of kernels.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <memory>

#include "kernels/device.h"

namespace rwkv::cuda {

class CudaDevice;

// While a thread captures, what it gives a device goes here instead of to the device's own stream.
struct Capture {
  const CudaDevice* device = nullptr;  // null: the thread does not capture
  cudaStream_t stream = nullptr;
};
[[nodiscard]] const Capture& capture_of_thread() noexcept;

// Of the current device, which is `device`. Throws what `work` throws, DeviceError, OutOfMemoryError.
[[nodiscard]] std::unique_ptr<Recording> record_graph(CudaDevice& device, const std::function<void()>& work);

}  // namespace rwkv::cuda
