// SPDX-License-Identifier: Apache-2.0
// Memory: filled with NaN, between guards. ASan forbids device memory to the host, and to kernels of other devices.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuemu/runtime/state.h"

namespace cuemu {
namespace {

constexpr std::size_t kGuard = 4096 + 256;  // so that nothing is aligned to more than cudaMalloc's 256 bytes

std::size_t whole(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
std::size_t with_guards(std::size_t bytes) { return (bytes + 2 * kGuard + 4095) / 4096 * 4096; }

cudaError_t allocate(void** p, std::size_t bytes, int device) {
  if (p == nullptr) return cudaErrorInvalidValue;
  *p = nullptr;
  if (refused_by_capture()) return cudaErrorStreamCaptureUnsupported;
  if (bytes == 0) return cudaSuccess;
  if (device >= 0) {
    if (whole(bytes) > config().device_memory - current_device().used || !take_allocation()) return cudaErrorMemoryAllocation;
  }
  if (bytes > std::size_t{1} << 40) return cudaErrorMemoryAllocation;  // of the host, which sanitizers do not let ask
  const std::size_t all = with_guards(bytes);
  auto* const raw = device < 0 ? static_cast<unsigned char*>(std::aligned_alloc(4096, all)) : take_space(all);
  if (raw == nullptr) return cudaErrorMemoryAllocation;
  unsigned char* const data = raw + kGuard;
  sanitizer::fill(data, kNeverWritten, bytes);
  sanitizer::forbid(raw, all);
  if (device < 0) {
    sanitizer::allow(data, bytes);
  } else {
    current_device().used += whole(bytes);
  }
  runtime().allocations[reinterpret_cast<std::uintptr_t>(data)] = {bytes, raw, device};
  *p = data;
  return cudaSuccess;
}

// Whether a stream has still to copy from or to this memory.
bool is_copied(std::uintptr_t first, std::size_t bytes) {
  return std::ranges::any_of(runtime().streams, [&](const Stream* stream) {
    return std::ranges::any_of(stream->queue, [&](const auto& task) {
      const auto at = reinterpret_cast<std::uintptr_t>(task->pinned);
      return at >= first && at < first + bytes;
    });
  });
}

// Also after a report, so that owners can clean up.
cudaError_t release(void* p, bool pinned) {
  const std::lock_guard lock(runtime().mutex);
  if (p == nullptr) return call([] { return cudaSuccess; });
  const auto found = runtime().allocations.find(reinterpret_cast<std::uintptr_t>(p));
  if (found == runtime().allocations.end() || (found->second.device < 0) != pinned) {
    return call([] { return cudaErrorInvalidValue; });
  }
  if (refused_by_capture()) return call([] { return cudaErrorStreamCaptureUnsupported; });
  if (current_report().empty()) {
    if (pinned && is_copied(found->first, found->second.bytes)) {
      report("cudaFreeHost: a copy from or to this memory has not ended");
      give_up();
    }
    for (auto& [number, device] : runtime().devices) synchronise_device(number);
  }
  const Allocation allocation = found->second;
  if (allocation.device >= 0) runtime().devices[allocation.device].used -= whole(allocation.bytes);
  runtime().allocations.erase(found);
  const std::size_t all = with_guards(allocation.bytes);
  sanitizer::allow(allocation.raw, all);
  if (allocation.device < 0) {
    std::free(allocation.raw);
  } else {
    release_space(allocation.raw, all);
  }
  return call([] { return cudaSuccess; });
}

// What a copy sees at an address.
enum class Place { device, pinned, pageable, wrong };
Place place_of(const void* p, std::size_t bytes) {
  const auto [first, allocation] = find(p);
  if (allocation == nullptr) return p == nullptr ? Place::wrong : Place::pageable;
  if (reinterpret_cast<std::uintptr_t>(p) + bytes > first + allocation->bytes) return Place::wrong;
  return allocation->device < 0 ? Place::pinned : Place::device;
}

bool fits(Place place, cudaMemcpyKind kind, bool source) {
  if (place == Place::wrong) return false;
  if (kind == cudaMemcpyDefault) return true;
  const bool device = kind == cudaMemcpyDeviceToDevice || kind == (source ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice);
  return device == (place == Place::device);
}

// pinned: the memory of this kind that it copies from or to, if any.
std::shared_ptr<Task> task(std::function<void()> work, const void* pinned = nullptr) {
  auto t = std::make_shared<Task>();
  t->pinned = pinned;
  t->run = [work = std::move(work)] {
    sanitizer::watch_accesses();
    work();
    sanitizer::ignore_accesses();
    return true;
  };
  return t;
}

const void* pinned_of(const void* to, Place target, const void* from, Place source) {
  return target == Place::pinned ? to : source == Place::pinned ? from : nullptr;
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, Stream& stream, bool host_waits) {
  if (bytes == 0) return cudaSuccess;
  const Place target = place_of(to, bytes), source = place_of(from, bytes);
  if (!fits(target, kind, false) || !fits(source, kind, true)) return cudaErrorInvalidValue;
  const bool pageable = target == Place::pageable || source == Place::pageable;
  if (stream.capture != nullptr && pageable) {
    stream.capture->valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  if (stream.capture == nullptr) {
    ++(target == Place::device ? source == Place::device ? counts().copies : counts().uploads : counts().downloads);
  }
  if (host_waits && source == Place::pageable) {  // is read now; all other memory when the stream comes to it
    synchronise(stream);                          // for what was asked for before, not for this copy
    const auto staged = std::make_shared<std::vector<unsigned char>>(bytes);
    std::memcpy(staged->data(), from, bytes);
    return push(stream, task([=] { std::memcpy(to, staged->data(), bytes); }));
  }
  const auto error = push(stream, task([=] { std::memcpy(to, from, bytes); }, pinned_of(to, target, from, source)));
  const bool within_device = target == Place::device && source == Place::device;
  if (error == cudaSuccess && host_waits && !within_device) synchronise(stream);
  return error;
}

// n_row pieces of row_bytes. Of and to pageable memory nobody has needed it.
cudaError_t copy_rows(void* to, std::size_t to_stride, const void* from, std::size_t from_stride, std::size_t row_bytes,
                      std::size_t n_row, cudaMemcpyKind kind, Stream& stream) {
  if (row_bytes > to_stride || row_bytes > from_stride) return cudaErrorInvalidPitchValue;
  if (row_bytes == 0 || n_row == 0) return cudaSuccess;
  const Place target = place_of(to, to_stride * (n_row - 1) + row_bytes);
  const Place source = place_of(from, from_stride * (n_row - 1) + row_bytes);
  if (!fits(target, kind, false) || !fits(source, kind, true)) return cudaErrorInvalidValue;
  if (target == Place::pageable || source == Place::pageable) return cudaErrorNotSupported;
  if (stream.capture == nullptr) ++(target == Place::device ? counts().uploads : counts().downloads);
  return push(stream, task(
                          [=] {
                            for (std::size_t i = 0; i < n_row; ++i) {
                              std::memcpy(static_cast<char*>(to) + i * to_stride,
                                          static_cast<const char*>(from) + i * from_stride, row_bytes);
                            }
                          },
                          pinned_of(to, target, from, source)));
}

cudaError_t set(void* to, int value, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return cudaSuccess;
  if (place_of(to, bytes) != Place::device) return cudaErrorInvalidValue;
  return push(stream, task([=] { std::memset(to, value, bytes); }));
}

bool is_of(int device, const void* p) {
  const Allocation* const allocation = find(p).allocation;
  return allocation && allocation->device == device;
}

template <class F>
cudaError_t with_stream(cudaStream_t handle, F&& body) {
  return call([&] {
    Stream* const stream = stream_of(handle);
    return stream ? body(*stream) : cudaErrorInvalidResourceHandle;
  });
}

}  // namespace

bool take_allocation() {
  if (config().allocations_left <= 0) return false;
  --config().allocations_left;
  return true;
}

Found find(const void* p) {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  auto next = runtime().allocations.upper_bound(at);
  if (next == runtime().allocations.begin()) return {};
  --next;
  return at < next->first + next->second.bytes ? Found{next->first, &next->second} : Found{};
}

namespace {

// Who may touch the memory of devices: a kernel of this one, or these.
constexpr int kNobody = -1, kCopies = -2;
int allowed = kNobody;

bool may_touch(int who, int device) {
  return who == kCopies || (who != kNobody && (who == device || runtime().devices[who].peers.contains(device)));
}

// Only what changes: most of a stream's work is kernels of one device after each other.
void allow_only(int who) {
  const int before = std::exchange(allowed, who);
  if (before == who) return;
  for (const auto& [first, allocation] : runtime().allocations) {
    if (allocation.device < 0) continue;
    const bool may = may_touch(who, allocation.device);
    if (may == may_touch(before, allocation.device)) continue;
    (may ? sanitizer::allow : sanitizer::forbid)(reinterpret_cast<const void*>(first), allocation.bytes);
  }
}

}  // namespace

void open_memory(const Stream& stream, const Task& task) { allow_only(task.is_kernel ? stream.device : kCopies); }
void close_memory() { allow_only(kNobody); }

}  // namespace cuemu

using namespace cuemu;

extern "C" {

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  return call([=] { return allocate(p, bytes, current_device_number()); });
}
cudaError_t cudaFree(void* p) { return release(p, false); }
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
  return call([=] { return allocate(p, bytes, -1); });
}
cudaError_t cudaMallocHost(void** p, std::size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocDefault); }
cudaError_t cudaFreeHost(void* p) { return release(p, true); }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([=] {
    *total = config().device_memory;
    *free = *total - current_device().used;
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  return call([=] {
    const Allocation* const allocation = find(p).allocation;
    *attributes = {};
    attributes->device = allocation && allocation->device >= 0 ? allocation->device : current_device_number();
    attributes->type = !allocation               ? cudaMemoryTypeUnregistered
                       : allocation->device >= 0 ? cudaMemoryTypeDevice
                                                 : cudaMemoryTypeHost;
    if (allocation) attributes->devicePointer = const_cast<void*>(p);
    if (!allocation || allocation->device < 0) attributes->hostPointer = const_cast<void*>(p);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return with_stream(stream, [&](Stream& s) { return copy(to, from, bytes, kind, s, false); });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return with_stream(nullptr, [&](Stream& s) {
    return refused_by_capture() ? cudaErrorStreamCaptureUnsupported : copy(to, from, bytes, kind, s, true);
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_stride, const void* from, std::size_t from_stride, std::size_t width,
                              std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return with_stream(stream, [&](Stream& s) { return copy_rows(to, to_stride, from, from_stride, width, height, kind, s); });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, std::size_t bytes,
                                cudaStream_t stream) {
  return with_stream(stream, [&](Stream& s) {
    for (const int device : {to_device, from_device}) {
      if (device < 0 || device >= config().n_device) return cudaErrorInvalidDevice;
    }
    if (bytes > 0 && (!is_of(to_device, to) || !is_of(from_device, from))) return cudaErrorInvalidValue;
    return copy(to, from, bytes, cudaMemcpyDeviceToDevice, s, false);
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return with_stream(stream, [&](Stream& s) { return set(to, value, bytes, s); });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return with_stream(
      nullptr, [&](Stream& s) { return refused_by_capture() ? cudaErrorStreamCaptureUnsupported : set(to, value, bytes, s); });
}

}  // extern "C"
