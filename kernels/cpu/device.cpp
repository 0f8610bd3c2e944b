// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/device.h"

#include <rwkv/error.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>

#include "kernels/cpu/table.h"
#include "kernels/kernels.h"

namespace rwkv::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();

// MemAvailable: free, or freed at once when needed. In KiB.
std::int64_t available_in_machine() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    if (std::int64_t kib = 0; word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return kUnknown;
}

// What a container may use in all; "max" without a limit.
std::int64_t limit_of_container() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  std::int64_t bytes = 0;
  return file >> bytes ? bytes : kUnknown;
}

// Calls at the same time that keep their scratch; more give theirs back to the system.
constexpr std::size_t kKeptScratch = 16;

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Pages of their own, from a multiple of 2 MiB on, so that the system can use huge pages: filling those takes half the time.
// Null: there are none.
void* map_pages(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  const std::size_t wanted = whole_pages(bytes), room = wanted + kHugePage;
  void* const start = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(start) % kHugePage;
  std::byte* const memory = static_cast<std::byte*>(start) + before;
  if (before > 0) munmap(start, before);
  munmap(memory + wanted, room - before - wanted);            // room is larger than both together
  static_cast<void>(madvise(memory, wanted, MADV_HUGEPAGE));  // only advice
  return memory;
}

}  // namespace

CpuDevice::CpuDevice(int threads) : pool_(threads > 0 ? threads : usable_cores()), kernels_(&best_table()) {
  scratch_.reserve(kKeptScratch);
}

// Tries only: in the child of a fork() the lock may be held for ever by a thread that is not there.
Buffer CpuDevice::take_scratch(std::size_t bytes) {
  Buffer scratch;
  if (const std::unique_lock lock(scratch_lock_, std::try_to_lock); lock && !scratch_.empty()) {
    scratch = std::move(scratch_.back());
    scratch_.pop_back();
  }
  if (scratch.bytes() < bytes) scratch = Buffer(*this, bytes);
  return scratch;
}

void CpuDevice::give_scratch(Buffer scratch) noexcept {
  const std::unique_lock lock(scratch_lock_, std::try_to_lock);
  if (lock && scratch_.size() < kKeptScratch) scratch_.push_back(std::move(scratch));
}

std::string CpuDevice::name() const {
  const int threads = pool_.threads();
  return std::string("cpu (") + kernels().name + ", " + std::to_string(threads) + (threads == 1 ? " thread)" : " threads)");
}

std::int64_t CpuDevice::available_memory() const { return std::min(available_in_machine(), limit_of_container()); }

void* CpuDevice::allocate(std::size_t bytes) {
  void* const memory =
      bytes >= kHugePage ? map_pages(bytes) : ::operator new(std::max<std::size_t>(bytes, 1), kAlignment, std::nothrow);
  if (!memory) throw OutOfMemoryError("cpu: out of memory allocating " + std::to_string(bytes) + " bytes");
  return memory;
}

void CpuDevice::release(void* memory, std::size_t bytes) noexcept {
  if (bytes < kHugePage) return ::operator delete(memory, kAlignment);
  munmap(memory, whole_pages(bytes));
}

void CpuDevice::upload(void* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }

void CpuDevice::upload_rows(void* device, std::size_t stride, const void* host, std::size_t row_bytes, std::size_t n_row) {
  auto* to = static_cast<std::byte*>(device);
  const auto* from = static_cast<const std::byte*>(host);
  for (std::size_t i = 0; i < n_row; ++i) std::memcpy(to + i * stride, from + i * row_bytes, row_bytes);
}

void CpuDevice::download(void* host, const void* device, std::size_t bytes) { std::memcpy(host, device, bytes); }

void CpuDevice::copy(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }

void CpuDevice::parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& task) { pool_.parallel_for(n, task); }

}  // namespace rwkv::cpu
