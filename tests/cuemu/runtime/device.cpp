// SPDX-License-Identifier: Apache-2.0
// Devices, their properties, and errors.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "cuemu/runtime/state.h"
#include "cuemu/scheduler.h"

namespace cuemu {

Runtime& runtime() {
  static auto* const everything = new Runtime;  // outlives every static object of a test
  return *everything;
}

int& current_device_number() {
  thread_local int number = 0;
  return number;
}

Device& current_device() {
  Device& device = runtime().devices[current_device_number()];
  device.default_stream.device = current_device_number();
  return device;
}

cudaError_t& last_error() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

std::string leaks() {
  const Runtime& r = runtime();
  std::string text;
  const auto add = [&](std::size_t n, const char* what, const std::string& more = "") {
    if (n > 0) text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + what + (n > 1 ? "s" : "") + more;
  };
  std::string bytes;
  for (const auto& [first, allocation] : r.allocations)
    bytes += (bytes.empty() ? " (" : ", ") + std::to_string(allocation.bytes);
  add(r.allocations.size(), "allocation", bytes + " bytes)");
  add(r.streams.size(), "stream");
  add(r.events.size(), "event");
  add(r.graphs.size() + r.executables.size(), "graph");
  return text;
}

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorPeerAccessAlreadyEnabled, "cudaErrorPeerAccessAlreadyEnabled", "peer access is already enabled"},
    {cudaErrorPeerAccessNotEnabled, "cudaErrorPeerAccessNotEnabled", "peer access has not been enabled"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorGraphExecUpdateFailure, "cudaErrorGraphExecUpdateFailure",
     "the graph update was not performed because it included changes which violated constraints"},
};
const ErrorText* text_of(cudaError_t error) {
  const auto* const found = std::find_if(std::begin(kErrors), std::end(kErrors), [=](auto& e) { return e.error == error; });
  return found == std::end(kErrors) ? nullptr : found;
}

bool exists(int device) { return device >= 0 && device < config().n_device; }
bool can_access(int device, int peer) { return device != peer && config().peer_access; }

}  // namespace
}  // namespace cuemu

using namespace cuemu;

extern "C" {

const char* cudaGetErrorName(cudaError_t error) { return text_of(error) ? text_of(error)->name : "unrecognized error code"; }

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure && !current_report().empty()) return current_report().c_str();
  return text_of(error) ? text_of(error)->text : "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  return std::exchange(last_error(), current_report().empty() ? cudaSuccess : cudaErrorLaunchFailure);
}
cudaError_t cudaPeekAtLastError() { return last_error(); }

cudaError_t cudaDriverGetVersion(int* version) {
  return call([=] {
    *version = config().n_device > 0 ? CUDART_VERSION : 0;
    return cudaSuccess;
  });
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return call([=] {
    *version = CUDART_VERSION;
    return cudaSuccess;
  });
}
cudaError_t cudaGetDeviceCount(int* count) {
  return call([=] {
    *count = config().n_device;
    return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
  });
}
cudaError_t cudaSetDevice(int device) {
  return call([=] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    current_device_number() = device;
    return cudaSuccess;
  });
}
cudaError_t cudaGetDevice(int* device) {
  return call([=] {
    *device = current_device_number();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call([=] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = 48 << 10;
        break;
      case cudaDevAttrWarpSize:
        *value = 32;
        break;
      case cudaDevAttrMultiProcessorCount:
        *value = 4;
        break;
      case cudaDevAttrComputeCapabilityMajor:
        *value = config().sm / 10;
        break;
      case cudaDevAttrComputeCapabilityMinor:
        *value = config().sm % 10;
        break;
      case cudaDevAttrL2CacheSize:
        *value = 4 << 20;
        break;
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = static_cast<int>(shared_memory_limit()) + 1024;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(shared_memory_limit());
        break;
      case cudaDevAttrMaxRegistersPerMultiprocessor:
        *value = 65536;
        break;
      default:
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([=] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    cudaDeviceProp& p = *properties = {};
    std::snprintf(p.name, sizeof p.name, "Emulated GPU");
    p.major = config().sm / 10;
    p.minor = config().sm % 10;
    p.totalGlobalMem = config().device_memory;
    p.multiProcessorCount = 4;
    p.warpSize = 32;
    p.maxThreadsPerBlock = 1024;
    p.sharedMemPerBlock = 48 << 10;
    p.sharedMemPerBlockOptin = shared_memory_limit();
    p.sharedMemPerMultiprocessor = shared_memory_limit() + 1024;
    p.l2CacheSize = 4 << 20;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return call([=] {
    if (!exists(device) || !exists(peer)) return cudaErrorInvalidDevice;
    *can = can_access(device, peer);
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return call([=] {
    if (flags != 0) return cudaErrorInvalidValue;
    if (!exists(peer) || !can_access(current_device_number(), peer)) return cudaErrorInvalidDevice;
    return current_device().peers.insert(peer).second ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled;
  });
}
cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  return call([=] {
    if (!exists(peer)) return cudaErrorInvalidDevice;
    if (!current_device().peers.contains(peer)) return cudaErrorPeerAccessNotEnabled;
    synchronise_device(current_device_number());  // its kernels may be using it
    current_device().peers.erase(peer);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call([] {
    if (wait_refused_by_capture()) return cudaErrorStreamCaptureUnsupported;
    synchronise_device(current_device_number());
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  return call([=] {
    if (config().code == 0) return cudaErrorNoKernelImageForDevice;
    *attributes = {};
    attributes->binaryVersion = config().sm;
    attributes->ptxVersion = code_sm();
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call([=] {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    if (value < 0 || static_cast<std::size_t>(value) > shared_memory_limit()) return cudaErrorInvalidValue;
    int& now = runtime().dynamic_shared[{kernel, current_device_number(), config().sm}];
    if (value < now) report("cudaFuncSetAttribute: shared memory is taken from launches of other threads");
    now = value;
    return cudaSuccess;
  });
}

}  // extern "C"
