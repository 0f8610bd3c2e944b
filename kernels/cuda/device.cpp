// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/device.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/cuda/code.h"
#include "kernels/cuda/copy_queue.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/sample.h"
#include "kernels/cuda/table.h"

namespace rwkv::cuda {
namespace {

// Older cards have no tensor cores for the types of weights, and no code in the binary.
constexpr int kOldestCapability = 75;

// "cuda:0 (NVIDIA H200, sm_90)"
std::string name_of(int ordinal) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, ordinal));
  const std::string name = "cuda:" + std::to_string(ordinal) + " (" + properties.name + ", sm_" +
                           std::to_string(10 * properties.major + properties.minor) + ")";
  if (10 * properties.major + properties.minor < kOldestCapability) {
    throw DeviceError(name + ": the card is too old; sm_" + std::to_string(kOldestCapability) + " (Turing) is the oldest");
  }
  return name;
}

// That this build has kernels for the current device, which has this name.
void require_code(const std::string& name) {
  try {
    static_cast<void>(code_capability());
  } catch (const DeviceError& error) {
    throw DeviceError(name + ": " + error.what());
  }
}

}  // namespace

CudaDevice::CudaDevice(int ordinal, int threads)
    : ordinal_(ordinal), name_(name_of(ordinal)), pool_(threads > 0 ? threads : cpu::usable_cores()) {
  const CurrentDevice current(ordinal_);
  require_code(name_);
  on_card_ = std::make_unique<OnCard>();
}

CudaDevice::~CudaDevice() {
  try {
    const CurrentDevice current(ordinal_);
    on_card_.reset();
  } catch (const Error&) {  // at the end of the process the runtime may be gone before this
  }
}

const KernelTable& CudaDevice::kernels() const { return table(); }

std::int64_t CudaDevice::available_memory() const {
  const CurrentDevice current(ordinal_);
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  return static_cast<std::int64_t>(free);
}

void* CudaDevice::allocate(std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  return cuda::allocate(bytes);
}

void CudaDevice::release(void* memory, std::size_t) noexcept {
  try {
    const CurrentDevice current(ordinal_);
    check(cudaFree(memory));  // waits for the kernels that use it
  } catch (const Error&) {    // as above
  }
}

cudaStream_t CudaDevice::unrecorded_stream() const {
  if (capture_of_thread().device == this) throw std::logic_error(name_ + ": memory of the host in a recording");
  return on_card_->stream.get();
}

void CudaDevice::upload(void* device, const void* host, std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  on_card_->staging.upload(unrecorded_stream(), device, host, bytes);
}

void CudaDevice::upload_rows(void* device, std::size_t stride, const void* host, std::size_t row_bytes, std::size_t n_row) {
  const CurrentDevice current(ordinal_);
  on_card_->staging.upload_rows(unrecorded_stream(), device, stride, host, row_bytes, n_row);
}

void CudaDevice::download(void* host, const void* device, std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  on_card_->staging.download(unrecorded_stream(), host, device, bytes);
}

void CudaDevice::copy(void* to, const void* from, std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()));
}

// By the other card's stream, so that it is over before what is read there is replaced.
void CudaDevice::receive(void* to, Device& other, const void* from, std::size_t bytes) {
  if (other.is_host()) return upload(to, from, bytes);
  auto& card = static_cast<CudaDevice&>(other);  // no other devices have memory of their own
  const CurrentDevice current(card.ordinal_);
  card.reach(ordinal_);
  const cudaStream_t own = unrecorded_stream(), copies = card.unrecorded_stream();
  on_card_->asked_for.order(own, copies);
  check(cudaMemcpyPeerAsync(to, ordinal_, from, card.ordinal_, bytes, copies));
  card.on_card_->asked_for.order(copies, own);
}

// Where the machine can, this card's copies to the other need not go through host memory from now on.
void CudaDevice::reach(int peer) {
  const std::lock_guard lock(reached_lock_);
  if (!reached_.insert(peer).second) return;
  int can = 0;
  check(cudaDeviceCanAccessPeer(&can, ordinal_, peer));
  // Others in this process may have asked before, and a card has so many peers at most.
  if (can && cudaDeviceEnablePeerAccess(peer, 0) != cudaSuccess) static_cast<void>(cudaGetLastError());
}

void CudaDevice::synchronize() {
  const CurrentDevice current(ordinal_);
  on_card_->stream.synchronize();
}

std::unique_ptr<CopyQueue> CudaDevice::copy_queue() {
  const CurrentDevice current(ordinal_);
  return std::make_unique<CopyStream>(ordinal_, stream());
}

void CudaDevice::reserve_scratch(std::size_t bytes) {
  const CurrentDevice current(ordinal_);
  static_cast<void>(scratch().use(stream(), std::max(bytes, kSampleScratch), 1));
}

std::unique_ptr<Recording> CudaDevice::record(const std::function<void()>& work) {
  const CurrentDevice current(ordinal_);
  try {
    return record_graph(*this, work);
  } catch (const Error&) {
    static_cast<void>(cudaGetLastError());  // so that the next launch does not report it
    return nullptr;
  }
}

void CudaDevice::parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& task) { pool_.parallel_for(n, task); }

std::shared_ptr<Device> open_device(int ordinal, int threads) { return std::make_shared<CudaDevice>(ordinal, threads); }

}  // namespace rwkv::cuda
