// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

namespace rwkv::cpu {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

// About 30 us: longer than the gap between two kernels of a decode step, short enough not to burn an idle core.
constexpr int kSpins = 1000;
constexpr std::uint64_t kLower = 0xffffffffu;

// A worker that another process has pushed off its core comes back after milliseconds. When the caller has waited that long,
// and for longer than it worked, it goes on alone for a while, each time for longer.
constexpr auto kLongWait = microseconds(500);
constexpr auto kAlone = microseconds(10'000), kMostAlone = microseconds(320'000);

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
  explicit Workers(int n) : parts_(static_cast<std::size_t>(n) + 1) {
    try {
      for (int i = 1; i <= n; ++i) threads_.emplace_back([this, i] { work(static_cast<std::size_t>(i)); });
    } catch (const std::system_error&) {  // no more threads for this process: those that there are do it
    }
  }
  ~Workers();
  void run(std::int64_t n, Function function, void* task);

 private:
  // The tasks of a loop are cut into one run of neighbours for each thread: what a thread reads is one stream of memory. Upper
  // half: the first task not taken; lower half: the end. The thread itself takes from the front, others from the back.
  struct alignas(64) Part {
    std::atomic<std::uint64_t> left{0};
  };

  bool do_one(std::size_t thread);  // claims a task and does it; false: none is left
  [[nodiscard]] std::uint32_t take(std::size_t thread);
  void work(std::size_t thread);
  void share(std::uint32_t n);
  void wait(Clock::time_point start);

  // The current loop. A thread that has claimed a task may read these: they change only when all claimed tasks are done.
  Function function_ = nullptr;
  void* task_ = nullptr;
  std::uint32_t n_ = 0;
  std::vector<Part> parts_;  // of the caller, of each worker

  // Upper half: number of the loop; lower half: tasks not claimed yet. One word, so that a late worker cannot claim a task of
  // a loop that it has not seen begin. Who has claimed one finds one in the parts.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<std::uint32_t> done_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> busy_{false};  // some thread is in run(); it alone uses what follows
  Clock::time_point alone_until_{};
  microseconds alone_ = kAlone;
  std::vector<std::thread> threads_;
};

ThreadPool::Workers::~Workers() {
  stop_ = true;
  ticket_.fetch_add(kLower + 1);
  ticket_.notify_all();
  for (auto& thread : threads_) thread.join();
}

std::uint32_t ThreadPool::Workers::take(std::size_t thread) {
  std::atomic<std::uint64_t>& own = parts_[thread].left;
  for (std::uint64_t left = own.load(std::memory_order_relaxed); left >> 32 < (left & kLower);) {
    if (own.compare_exchange_weak(left, left + kLower + 1, std::memory_order_relaxed))
      return static_cast<std::uint32_t>(left >> 32);
  }
  for (;;) {
    std::atomic<std::uint64_t>* longest = nullptr;
    std::uint64_t most = 0, seen = 0;
    for (Part& part : parts_) {
      const std::uint64_t left = part.left.load(std::memory_order_relaxed), n = (left & kLower) - (left >> 32);
      if (n > most) longest = &part.left, most = n, seen = left;
    }
    if (longest && longest->compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) {
      return static_cast<std::uint32_t>(seen & kLower) - 1;
    }
  }
}

bool ThreadPool::Workers::do_one(std::size_t thread) {
  std::uint64_t ticket = ticket_.load(std::memory_order_relaxed);
  do {
    if ((ticket & kLower) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire, std::memory_order_relaxed));
  function_(task_, take(thread));
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::Workers::work(std::size_t thread) {
  std::uint64_t seen = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    while (do_one(thread)) {
    }
    seen = ticket_.load(std::memory_order_relaxed);
    for (int spin = 0; spin < kSpins && (seen & kLower) == 0; ++spin) {
      pause();
      seen = ticket_.load(std::memory_order_relaxed);
    }
    if ((seen & kLower) == 0 && !stop_.load()) ticket_.wait(seen);
  }
}

void ThreadPool::Workers::share(std::uint32_t n) {
  const std::uint64_t parts = parts_.size();
  for (std::uint64_t i = 0; i < parts; ++i) {
    parts_[i].left.store((n * i / parts) << 32 | n * (i + 1) / parts, std::memory_order_relaxed);
  }
}

// For the tasks that workers have claimed.
void ThreadPool::Workers::wait(Clock::time_point start) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (done_.load(std::memory_order_acquire) == n_) return;
    pause();
  }
  const Clock::time_point worked = Clock::now();
  while (done_.load(std::memory_order_acquire) != n_) std::this_thread::yield();  // a worker may need this core
  const Clock::time_point now = Clock::now();
  if (parts_.size() > 2 || now - worked < kLongWait || now - worked < 2 * (worked - start)) return;
  alone_ = now - alone_until_ < alone_ ? std::min(2 * alone_, kMostAlone) : kAlone;
  alone_until_ = now + alone_;
}

void ThreadPool::Workers::run(std::int64_t n, Function function, void* task) {
  if (busy_.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t i = 0; i < n; ++i) function(task, i);
    return;
  }
  const Clock::time_point start = Clock::now();
  if (start < alone_until_) {
    for (std::int64_t i = 0; i < n; ++i) function(task, i);
  } else {
    function_ = function;
    task_ = task;
    n_ = static_cast<std::uint32_t>(n);
    done_.store(0, std::memory_order_relaxed);
    share(n_);
    const std::uint64_t loop = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(loop << 32 | n_, std::memory_order_release);
    ticket_.notify_all();
    while (do_one(0)) {
    }
    wait(start);
  }
  busy_.store(false, std::memory_order_release);
}

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
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
