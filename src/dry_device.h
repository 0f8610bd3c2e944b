// SPDX-License-Identifier: Apache-2.0
// A device on which nothing happens: addresses are of nothing, kernels do nothing. A forward on it shows what memory it would
// take on the device that it stands for.
#pragma once
#include <map>
#include <tuple>

#include "kernels/device.h"
#include "kernels/kernels.h"

namespace rwkv {

class DryDevice final : public Device {
 public:
  explicit DryDevice(Device& real) : real_(real), table_(table(real.kernels())) {}

  // At least what any group of products so far takes, also with fewer rows.
  [[nodiscard]] std::size_t scratch_bytes() const noexcept { return scratch_bytes_; }

  [[nodiscard]] std::string name() const override { return real_.name(); }
  [[nodiscard]] const KernelTable& kernels() const override { return table_; }
  [[nodiscard]] bool is_host() const noexcept override { return real_.is_host(); }
  [[nodiscard]] int ordinal() const noexcept override { return real_.ordinal(); }
  [[nodiscard]] std::int64_t available_memory() const override { return real_.available_memory(); }
  [[nodiscard]] void* allocate(std::size_t) override { return reinterpret_cast<void*>(kAddress); }
  void release(void*, std::size_t) noexcept override {}
  void upload(void*, const void*, std::size_t) override {}
  void upload_rows(void*, std::size_t, const void*, std::size_t, std::size_t) override {}
  void download(void*, const void*, std::size_t) override {}
  void copy(void*, const void*, std::size_t) override {}
  void receive(void*, Device&, const void*, std::size_t) override {}
  void synchronize() override {}
  [[nodiscard]] std::unique_ptr<CopyQueue> copy_queue() override { return nullptr; }
  void reserve_scratch(std::size_t) override {}
  void parallel_for(std::int64_t, const std::function<void(std::int64_t)>&) override {}

 private:
  [[nodiscard]] static KernelTable table(const KernelTable& real);
  static void matmul(Device& device, std::span<const MatMul> group);
  [[nodiscard]] std::size_t most_scratch(MatMul op);

  static constexpr std::uintptr_t kAddress = 4096;
  Device& real_;
  KernelTable table_;
  std::size_t scratch_bytes_ = 0;
  using Shape = std::tuple<DType, bool, std::int64_t, std::int64_t, std::int64_t>;
  std::map<Shape, std::size_t> scratch_of_;  // products seen before
};

}  // namespace rwkv
