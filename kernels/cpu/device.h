// SPDX-License-Identifier: Apache-2.0
// The CPU as a device: host memory, a thread pool, the best instruction set found at run time.
#pragma once
#include <mutex>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"

namespace rwkv::cpu {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads);  // 0: one per core this process may use

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] const KernelTable& kernels() const override { return *kernels_; }
  [[nodiscard]] bool is_host() const noexcept override { return true; }
  [[nodiscard]] int ordinal() const noexcept override { return 0; }
  [[nodiscard]] std::int64_t available_memory() const override;
  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) noexcept override;
  void upload(void* device, const void* host, std::size_t bytes) override;
  void upload_rows(void* device, std::size_t stride, const void* host, std::size_t row_bytes, std::size_t n_row) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  void receive(void* to, Device& other, const void* from, std::size_t bytes) override { other.download(to, from, bytes); }
  void synchronize() override {}
  [[nodiscard]] std::unique_ptr<CopyQueue> copy_queue() override { return nullptr; }
  void reserve_scratch(std::size_t) override {}  // take_scratch
  void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& task) override;

  [[nodiscard]] ThreadPool& pool() noexcept { return pool_; }

  // Instead of the best kernels, such that also observe. The table must outlive its use; not while kernels run.
  void use_kernels(const KernelTable& table) noexcept { kernels_ = &table; }

  // Memory for one call of a kernel, contents undefined. What is given back serves later calls.
  [[nodiscard]] Buffer take_scratch(std::size_t bytes);
  void give_scratch(Buffer scratch) noexcept;

 private:
  ThreadPool pool_;
  const KernelTable* kernels_;
  std::mutex scratch_lock_;
  std::vector<Buffer> scratch_;
};

// Kernels are only called with the device whose table they are in.
inline ThreadPool& pool_of(Device& device) { return static_cast<CpuDevice&>(device).pool(); }

}  // namespace rwkv::cpu
