// SPDX-License-Identifier: Apache-2.0
// Each task exactly once, whoever calls; no loop is ever stuck. Also run under ThreadSanitizer.
#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

namespace rwkv::cpu {
namespace {

void expect_each_task_once(ThreadPool& pool, std::int64_t n) {
  std::vector<std::atomic<int>> calls(n);
  pool.parallel_for(n, [&](std::int64_t i) { ++calls[i]; });
  for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(calls[i], 1) << "task " << i << " of " << n;
}

TEST(ThreadPool, DoesEachTaskOnceForAnyNumberOfThreads) {
  for (const int threads : {1, 2, 3, 5, 16}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t n : {0, 1, 2, 3, 7, 64, 1000, 10007}) expect_each_task_once(pool, n);
  }
}

TEST(ThreadPool, ResultsOfPlainWritesAreSeenByTheCaller) {
  ThreadPool pool(4);
  for (int loop = 0; loop < 2000; ++loop) {
    std::vector<int> out(9, -1);
    pool.parallel_for(9, [&](std::int64_t i) { out[i] = loop; });
    ASSERT_EQ(out, std::vector<int>(9, loop));
  }
}

TEST(ThreadPool, SeveralCallersShareItAndEachGetsAllItsTasks) {
  ThreadPool pool(3);
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&pool, caller] {
      for (int loop = 0; loop < 300; ++loop) expect_each_task_once(pool, 1 + (caller + loop) % 40);
    });
  }
}

// A thread reads one stream of memory: neighbouring tasks.
TEST(ThreadPool, EachOfTwoThreadsBeginsAtItsOwnHalf) {
  ThreadPool pool(2);
  std::atomic<std::int64_t> first_of_worker{-1};
  const auto caller = std::this_thread::get_id();
  pool.parallel_for(100, [&](std::int64_t i) {
    if (std::this_thread::get_id() != caller) {
      std::int64_t none = -1;
      first_of_worker.compare_exchange_strong(none, i);
    }
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (i == 0 && first_of_worker < 0 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  });
  EXPECT_EQ(first_of_worker, 50);
}

// What another busy process does to a worker, a sleep does here. Tried again where this machine is so busy that the while is
// over.
TEST(ThreadPool, AfterALongWaitTheCallerGoesOnAloneForAWhile) {
  ThreadPool pool(2);
  const auto caller = std::this_thread::get_id();
  const auto by_both = [&](const auto& body) {
    std::atomic<bool> by_worker = false;
    pool.parallel_for(2, [&](std::int64_t) {
      if (std::this_thread::get_id() != caller) by_worker = true;
      body();
    });
    return by_worker.load();
  };
  const auto some_work = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  bool alone = false, both_again = false;
  for (int i = 0; i < 20 && !alone; ++i) {
    while (!by_both(some_work)) {
    }
    std::atomic<int> started = 0;
    by_both([&] {
      ++started;
      while (started < 2) std::this_thread::yield();  // one task for each thread
      if (std::this_thread::get_id() != caller) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    });
    alone = !by_both(some_work);
  }
  for (int i = 0; i < 1000 && !both_again; ++i) both_again = by_both(some_work);
  EXPECT_TRUE(alone);
  EXPECT_TRUE(both_again);
}

TEST(ThreadPool, ATaskMayStartALoopOfItsOwn) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> calls(50 * 20);
  pool.parallel_for(50, [&](std::int64_t i) { pool.parallel_for(20, [&](std::int64_t j) { ++calls[i * 20 + j]; }); });
  for (const auto& n : calls) ASSERT_EQ(n, 1);
}

TEST(ThreadPool, AHundredThousandShortLoopsComeToAnEnd) {
  ThreadPool pool(2);
  std::atomic<std::int64_t> sum{0};
  for (int loop = 0; loop < 100'000; ++loop) pool.parallel_for(2, [&](std::int64_t i) { sum += i + 1; });
  EXPECT_EQ(sum, 300'000);
}

TEST(ThreadPool, IsDestroyedWhileItsWorkersSpinOrSleep) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(4);
    if (i % 3) expect_each_task_once(pool, 5);
    if (i % 3 == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // past the spinning
  }
}

// ThreadSanitizer ends a child that starts threads.
#ifdef __SANITIZE_THREAD__
#define RWKV_SKIP_UNDER_TSAN GTEST_SKIP() << "skipped: threads after a fork, under ThreadSanitizer"
#else
#define RWKV_SKIP_UNDER_TSAN static_cast<void>(0)
#endif

// A child has no threads but the one that forked. It must start workers of its own, or wait for ever for those it lost.
TEST(ThreadPool, WorksOnInBothProcessesAfterAFork) {
  RWKV_SKIP_UNDER_TSAN;
  ThreadPool pool(3);
  expect_each_task_once(pool, 100);
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> calls{0}, elsewhere{0};
    const auto caller = std::this_thread::get_id();
    for (int round = 0; round < 200; ++round) {
      pool.parallel_for(50, [&](std::int64_t) {
        ++calls;
        if (std::this_thread::get_id() != caller) ++elsewhere;
        usleep(10);
      });
    }
    _exit(calls == 10'000 && elsewhere > 0 ? 0 : 1);
  }
  expect_each_task_once(pool, 1000);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// A loop that another thread is in when a process forks stays unfinished in the child and does not hold it up.
TEST(ThreadPool, AForkWhileAnotherThreadUsesItLeavesTheChildAWorkingPool) {
  RWKV_SKIP_UNDER_TSAN;
  ThreadPool pool(2);
  std::atomic<bool> inside{false}, stop{false};
  std::thread other([&] {
    pool.parallel_for(2, [&](std::int64_t) {
      inside = true;
      while (!stop) usleep(100);
    });
  });
  while (!inside) usleep(100);
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> calls{0};
    pool.parallel_for(100, [&](std::int64_t) { ++calls; });
    _exit(calls == 100 ? 0 : 1);
  }
  stop = true;
  other.join();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace rwkv::cpu
