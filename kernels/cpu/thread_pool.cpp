// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_pool.h"

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

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  ticket_.fetch_add(kLower + 1);
  ticket_.notify_all();
  for (auto& worker : workers_) worker.join();
}

bool ThreadPool::do_one() {
  std::uint64_t ticket = ticket_.load(std::memory_order_relaxed);
  do {
    if ((ticket & kLower) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire, std::memory_order_relaxed));
  function_(task_, n_ - static_cast<std::uint32_t>(ticket & kLower));
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::work() {
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

void ThreadPool::run(std::int64_t n, Function function, void* task) {
  if (workers_.empty() || n < 2 || busy_.exchange(true, std::memory_order_acquire)) {
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

}  // namespace rwkv::cpu
