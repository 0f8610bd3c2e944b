// SPDX-License-Identifier: Apache-2.0
// Checks of a launch, when it is made and, of its arguments, again when it runs: a graph may hold memory that is gone.
#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "cuemu/runtime/state.h"
#include "cuemu/scheduler.h"

namespace cuemu {
namespace {

constexpr std::size_t kSharedWithoutAttribute = 48 << 10;

cudaError_t check_shape(const Launch& launch, const void* kernel) {
  if (config().code == 0) return cudaErrorNoKernelImageForDevice;
  const dim3 &g = launch.grid, &b = launch.block;
  if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > 1024 || b.y > 1024 || b.z > 64 || b.x * b.y * b.z > 1024 || g.x == 0 ||
      g.y == 0 || g.z == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  const auto allowed = runtime().dynamic_shared.find({kernel, current_device_number(), config().sm});
  const std::size_t limit = allowed == runtime().dynamic_shared.end() ? kSharedWithoutAttribute : allowed->second;
  if (launch.shared_bytes > limit) return cudaErrorInvalidValue;
  if (launch.overlap && config().sm < 90) return cudaErrorNotSupported;
  return cudaSuccess;
}

// The sanitizers map so much that numbers may look like addresses: this search is the plain build's.
#if defined(CUEMU_ASAN) || defined(CUEMU_TSAN)
constexpr bool kSearchStructures = false;
#else
constexpr bool kSearchStructures = true;
#endif

bool is_mapped(std::uintptr_t address) {
  unsigned char resident;
  return mincore(reinterpret_cast<void*>(address & ~std::uintptr_t{4095}), 1, &resident) == 0;
}

std::string check_pointer(std::uintptr_t address, bool certainly) {
  if (address == 0) return "";
  const Allocation* const allocation = find(reinterpret_cast<const void*>(address)).allocation;
  if (allocation == nullptr) {
    if (!certainly && !is_mapped(address)) return "";
    return "points to host memory, or to device memory that was released";
  }
  const int device = current_device_number();
  if (allocation->device >= 0 && allocation->device != device &&
      !runtime().devices[device].peers.contains(allocation->device)) {
    return "points to memory of device " + std::to_string(allocation->device) + ", which device " + std::to_string(device) +
           " cannot access";
  }
  return "";
}

}  // namespace

// Structures are searched for words that are addresses of this process.
std::string check_argument(const void* bytes, std::size_t size, bool is_pointer) {
  constexpr std::uintptr_t kFirst = std::uintptr_t{1} << 32, kLast = std::uintptr_t{1} << 47;
  for (std::size_t i = 0; i + sizeof(std::uintptr_t) <= size; i += sizeof(std::uintptr_t)) {
    std::uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(bytes) + i, sizeof word);
    if (!is_pointer && (!kSearchStructures || word < kFirst || word >= kLast)) continue;
    std::string wrong = check_pointer(word, is_pointer);
    if (!wrong.empty()) return is_pointer ? wrong : "has a member at byte " + std::to_string(i) + " that " + wrong;
  }
  return "";
}

cudaError_t enqueue(const Launch& launch, cudaStream_t handle, Call kernel) {
  return call([&] {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr || stream->device != current_device_number()) return cudaErrorInvalidResourceHandle;
    if (const auto error = check_shape(launch, kernel.kernel)) return error;
    const auto task = std::make_shared<Task>();
    task->is_kernel = true;
    task->overlap = launch.overlap;
    task->check = [launch, kernel, device = stream->device] {
      const int caller = std::exchange(current_device_number(), device);
      const std::string wrong = kernel.check(kernel.arguments.get());
      current_device_number() = caller;
      if (!wrong.empty()) report(at(launch.where) + ": launch: " + wrong);
      return wrong.empty();
    };
    task->run = [launch, kernel] { return run_grid(launch, kernel.run, kernel.arguments.get()); };
    kernel.arguments.reset();
    if (!task->check()) return cudaErrorLaunchFailure;
    if (stream->capture == nullptr) ++counts().kernels;
    return push(*stream, task);
  });
}

}  // namespace cuemu
