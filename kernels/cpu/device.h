// SPDX-License-Identifier: Apache-2.0
// The CPU as a device: host memory, a thread pool, the best instruction set found at run time.
#pragma once
#include <memory>

#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"

namespace rwkv::cpu {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads);  // 0: one per core this process may use

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] const KernelTable& kernels() const override;
  [[nodiscard]] bool is_host() const noexcept override { return true; }
  [[nodiscard]] std::int64_t available_memory() const override;
  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void upload(void* device, const void* host, std::size_t bytes) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;

  [[nodiscard]] ThreadPool& pool() noexcept { return pool_; }

 private:
  ThreadPool pool_;
};

// Kernels are only called with the device whose table they are in.
inline ThreadPool& pool_of(Device& device) { return static_cast<CpuDevice&>(device).pool(); }

}  // namespace rwkv::cpu
