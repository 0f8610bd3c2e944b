// SPDX-License-Identifier: Apache-2.0
// An NVIDIA card as a device: its memory, one stream on which all runs in the order in which it was asked for.
#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "kernels/cpu/thread_pool.h"
#include "kernels/cuda/cublas.h"
#include "kernels/cuda/owned.h"
#include "kernels/cuda/recording.h"
#include "kernels/cuda/scratch.h"
#include "kernels/cuda/staging.h"
#include "kernels/device.h"

namespace rwkv::cuda {

// Threads may call at once; each call makes the card the thread's current one while it runs.
class CudaDevice final : public Device {
 public:
  CudaDevice(int ordinal, int threads);  // threads of the host that convert weights; 0: one per core this process may use
  ~CudaDevice() override;

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] const KernelTable& kernels() const override;
  [[nodiscard]] bool is_host() const noexcept override { return false; }
  [[nodiscard]] int ordinal() const noexcept override { return ordinal_; }
  [[nodiscard]] std::int64_t available_memory() const override;
  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) noexcept override;
  void upload(void* device, const void* host, std::size_t bytes) override;  // does not wait for the stream
  void upload_rows(void* device, std::size_t stride, const void* host, std::size_t row_bytes, std::size_t n_row) override;
  void download(void* host, const void* device, std::size_t bytes) override;            // waits for it
  void copy(void* to, const void* from, std::size_t bytes) override;                    // does not
  void receive(void* to, Device& other, const void* from, std::size_t bytes) override;  // nor that, of cards and the host
  void synchronize() override;
  [[nodiscard]] std::unique_ptr<CopyQueue> copy_queue() override;
  void reserve_scratch(std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<Recording> record(const std::function<void()>& work) override;
  void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& task) override;

  // Where this thread's kernels go.
  [[nodiscard]] cudaStream_t stream() const noexcept {
    const Capture& capture = capture_of_thread();
    return capture.device == this ? capture.stream : on_card_->stream.get();
  }
  [[nodiscard]] Scratch& scratch() noexcept { return on_card_->scratch; }
  [[nodiscard]] Cublas& cublas() noexcept { return on_card_->cublas; }

 private:
  [[nodiscard]] cudaStream_t unrecorded_stream() const;  // throws while this thread records
  void reach(int peer);

  // Made and released while the card is the current one.
  struct OnCard {
    Stream stream;
    Scratch scratch;
    Cublas cublas;
    Staging staging;
    Event asked_for;  // all so far
  };

  int ordinal_;
  std::string name_;
  cpu::ThreadPool pool_;
  std::unique_ptr<OnCard> on_card_;
  std::mutex reached_lock_;
  std::set<int> reached_;  // cards
};

}  // namespace rwkv::cuda
