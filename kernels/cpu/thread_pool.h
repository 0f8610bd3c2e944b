// SPDX-License-Identifier: Apache-2.0
// Persistent workers that share the tasks of one loop: claimed one by one, spin first, then sleep.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace rwkv::cpu {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // counts the caller: threads - 1 workers
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(0) .. task(n - 1), each once, in any order and on any thread; returns when all are done. Tasks do not throw;
  // n < 2^32. A second caller does not wait for the first, and a task may call it again: such loops
  // are done by their caller alone.
  template <class Task>
  void parallel_for(std::int64_t n, Task&& task) {
    using T = std::remove_reference_t<Task>;
    run(
        n, [](void* t, std::int64_t i) { (*static_cast<T*>(t))(i); }, const_cast<std::remove_const_t<T>*>(&task));
  }

 private:
  using Function = void (*)(void* task, std::int64_t i);
  void run(std::int64_t n, Function function, void* task);
  bool do_one();  // claims a task and does it; false: none is left
  void work();

  // The current loop. A thread that has claimed a task may read these: they change only when all claimed tasks are done.
  Function function_ = nullptr;
  void* task_ = nullptr;
  std::uint32_t n_ = 0;

  // Upper half: number of the loop; lower half: tasks not claimed yet. One word, so that a late worker cannot claim a task of
  // a loop that it has not seen begin.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<std::uint32_t> done_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> busy_{false};  // some thread is in run()
  std::vector<std::thread> workers_;
};

}  // namespace rwkv::cpu
