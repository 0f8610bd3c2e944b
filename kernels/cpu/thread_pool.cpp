// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_pool.h"

#include <pthread.h>

#include <system_error>
#include <thread>
#include <vector>

namespace rwkv::cpu {
namespace {

// About 30 us: longer than the gap between two kernels of a decode step, short enough not to burn an idle core.
constexpr int kSpins = 1000;
constexpr std::uint64_t kLower = 0xffffffffu;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// How often this process's ancestors have forked, in the line that leads to it.
std::atomic<std::uint32_t> fork_count{0};
constexpr std::uint32_t kStarting = ~0u;  // a thread is starting the workers

std::uint32_t watch_forks() {
  static const int watching = pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(watching);  // without memory for it, a child would wait for workers that are not there; nothing helps then
  return fork_count.load(std::memory_order_relaxed);
}

}  // namespace

class ThreadPool::Workers {
 public:
  explicit Workers(int n) {
    try {
      for (int i = 0; i < n; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {  // no more threads for this process: those that there are do it
    }
  }
  ~Workers();
  void run(std::int64_t n, Function function, void* task);

 private:
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
  std::vector<std::thread> threads_;
};

ThreadPool::Workers::~Workers() {
  stop_ = true;
  ticket_.fetch_add(kLower + 1);
  ticket_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool ThreadPool::Workers::do_one() {
  std::uint64_t ticket = ticket_.load(std::memory_order_relaxed);
  do {
    if ((ticket & kLower) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire, std::memory_order_relaxed));
  function_(task_, n_ - static_cast<std::uint32_t>(ticket & kLower));
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::Workers::work() {
  std::uint64_t seen = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    while (do_one()) {
    }
    seen = ticket_.load(std::memory_order_relaxed);
    for (int spin = 0; spin < kSpins && (seen & kLower) == 0; ++spin) {
      pause();
      seen = ticket_.load(std::memory_order_relaxed);
    }
    if ((seen & kLower) == 0 && !stop_.load()) ticket_.wait(seen);
  }
}

void ThreadPool::Workers::run(std::int64_t n, Function function, void* task) {
  if (busy_.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t i = 0; i < n; ++i) function(task, i);
    return;
  }
  function_ = function;
  task_ = task;
  n_ = static_cast<std::uint32_t>(n);
  done_.store(0, std::memory_order_relaxed);
  const std::uint64_t loop = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(loop << 32 | n_, std::memory_order_release);
  ticket_.notify_all();
  while (do_one()) {
  }
  for (int spin = 0; done_.load(std::memory_order_acquire) != n_; ++spin) {
    if (spin < kSpins) {
      pause();
    } else {
      std::this_thread::yield();  // the worker that has the last task may need this core
    }
  }
  busy_.store(false, std::memory_order_release);
}

ThreadPool::ThreadPool(int threads) : threads_(threads), forks_(watch_forks()) {
  if (threads > 1) workers_ = std::make_unique<Workers>(threads - 1);
}

ThreadPool::~ThreadPool() {
  if (forks_ != fork_count) static_cast<void>(workers_.release());  // their threads are in another process
}

// In the child of a fork the old workers, and any lock they held, are left as they are: what they were doing is unknown.
bool ThreadPool::workers_live() {
  std::uint32_t known = forks_.load(std::memory_order_acquire);
  const std::uint32_t now = fork_count.load(std::memory_order_relaxed);
  if (known == now) return true;
  if (known == kStarting || !forks_.compare_exchange_strong(known, kStarting, std::memory_order_acquire)) return false;
  static_cast<void>(workers_.release());
  workers_ = std::make_unique<Workers>(threads_ - 1);
  forks_.store(now, std::memory_order_release);
  return true;
}

void ThreadPool::run(std::int64_t n, Function function, void* task) {
  if (threads_ > 1 && n > 1 && workers_live()) return workers_->run(n, function, task);
  for (std::int64_t i = 0; i < n; ++i) function(task, i);
}

}  // namespace rwkv::cpu
