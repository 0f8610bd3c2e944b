// SPDX-License-Identifier: Apache-2.0
// Asks the driver which of the images of a kernel it takes: those of all kernels are for the same cards.
#include "kernels/cuda/code.h"

#include <string>

#include "kernels/cuda/check.h"

namespace rwkv::cuda {
namespace {

__global__ void probe() {}

int capability_of(int device) {
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return 10 * major + minor;
}

int ask(int capability) {
  cudaFuncAttributes attributes{};
  const cudaError_t error = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(probe));
  if (error == cudaSuccess) return attributes.ptxVersion;
  static_cast<void>(cudaGetLastError());  // so that the next launch does not report it
  throw DeviceError(std::string("this build has no kernels for the card (") + cudaGetErrorString(error) +
                    "); -DRWKV_CUDA_ARCHITECTURES=" + std::to_string(capability) + " makes them");
}

}  // namespace

// Launchers ask each time, which takes the runtime some microseconds: a thread remembers its last device.
int code_capability() {
  struct Known {
    int device = -1, capability = 0, code = 0;
  };
  thread_local Known known;
  int device = 0;
  check(cudaGetDevice(&device));
  const int capability = capability_of(device);
  if (device != known.device || capability != known.capability) known = {device, capability, ask(capability)};
  return known.code;
}

}  // namespace rwkv::cuda
