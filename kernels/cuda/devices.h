// SPDX-License-Identifier: Apache-2.0
// Which CUDA devices there are. Needs no header of CUDA, and no driver.
#pragma once
#include <memory>
#include <string>

#include "kernels/device.h"

namespace rwkv::cuda {

struct Found {
  int n_device = 0;
  std::string why_none;  // "no NVIDIA driver"; empty if there are devices
};
[[nodiscard]] Found find_devices();

// ordinal < find_devices().n_device; threads: as of CudaDevice. Throws DeviceError, OutOfMemoryError.
[[nodiscard]] std::shared_ptr<Device> open_device(int ordinal, int threads);

// What find_devices() says: error of cudaGetDeviceCount, driver_version of cudaDriverGetVersion (0: none; 12040 for CUDA 12.4).
[[nodiscard]] std::string why_none(int error, int driver_version);

}  // namespace rwkv::cuda
