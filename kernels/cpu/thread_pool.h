// SPDX-License-Identifier: Apache-2.0
// Persistent workers that share the tasks of one loop: claimed one by one, spin first, then sleep.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace rwkv::cpu {

// This process may use: at least 1.
[[nodiscard]] int usable_cores();

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // counts the caller: threads - 1 workers
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const noexcept { return threads_; }

  // Calls task(0) .. task(n - 1), each once, in any order and on any thread; returns when all are done. Tasks do not throw;
  // n < 2^32. A second caller does not wait for the first, and a task may call it again: such loops
  // are done by their caller alone. Works on after a fork(), in both processes.
  template <class Task>
  void parallel_for(std::int64_t n, Task&& task) {
    using T = std::remove_reference_t<Task>;
    run(
        n, [](void* t, std::int64_t i) { (*static_cast<T*>(t))(i); }, const_cast<std::remove_const_t<T>*>(&task));
  }

 private:
  using Function = void (*)(void* task, std::int64_t i);
  class Workers;
  void run(std::int64_t n, Function function, void* task);
  [[nodiscard]] bool workers_live();

  const int threads_;
  std::unique_ptr<Workers> workers_;  // none for one thread
  // The process's count of forks when the workers were started. A fork copies no threads, so a child starts new ones.
  std::atomic<std::uint32_t> forks_;
};

}  // namespace rwkv::cpu
