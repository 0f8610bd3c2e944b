// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/devices.h"

#include <cuda_runtime_api.h>

namespace rwkv::cuda {
namespace {

// The oldest driver for this runtime: NVIDIA's "CUDA Compatibility", minor version compatibility. Of CUDA 12 from 525 on, but
// older ones than 550 cannot read code that is compressed as ours is.
constexpr const char* kOldestDriver = CUDART_VERSION >= 13000 ? "580" : "550";

}  // namespace

std::string why_none(int error, int driver_version) {
  if (driver_version == 0) return "no NVIDIA driver";
  if (error == cudaErrorInsufficientDriver) {
    return std::string("NVIDIA driver too old (needs ") + kOldestDriver + "; this one is for CUDA " +
           std::to_string(driver_version / 1000) + "." + std::to_string(driver_version % 1000 / 10) + ")";
  }
  if (error == cudaErrorNoDevice || error == cudaSuccess) return "no CUDA device, though there is an NVIDIA driver";
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

Found find_devices() {
  int n_device = 0, driver_version = 0;
  const cudaError_t error = cudaGetDeviceCount(&n_device);
  if (error == cudaSuccess && n_device > 0) return {n_device, ""};
  static_cast<void>(cudaGetLastError());  // so that nobody else meets it
  if (cudaDriverGetVersion(&driver_version) != cudaSuccess) driver_version = 0;
  return {0, why_none(error, driver_version)};
}

}  // namespace rwkv::cuda
