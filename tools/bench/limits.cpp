// SPDX-License-Identifier: Apache-2.0
#include "bench/limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>
#include <vector>

#include "bench/machine.h"

namespace rwkv::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kMemoryTime{60}, kArithmeticTime{30};
constexpr std::size_t kPieceFloats = std::size_t{1} << 20;   // between two looks at the clock
constexpr std::size_t kHugePage = std::size_t{2} << 20;      // bytes
constexpr std::int64_t kSmallest = std::int64_t{256} << 20;  // bytes
constexpr std::int64_t kRounds = 20'000;                     // between two looks at the clock

// Runs part(thread) on every thread until `duration` is over; each returns what it has done per second. The sum.
template <class Part>
double rate_of_all(int threads, const Part& part) {
  std::vector<double> rates(threads);
  {
    std::vector<std::jthread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back([&rates, &part, t] { rates[t] = part(t); });
    rates[0] = part(0);
  }
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// Repeats `step`, which returns the amount it has done, and returns the amount per second.
template <class Step>
double rate_for(std::chrono::milliseconds duration, const Step& step) {
  const auto start = Clock::now();
  double done = 0;
  for (;;) {
    done += step();
    const auto now = Clock::now();
    if (now - start >= duration) return done / std::chrono::duration<double>(now - start).count();
  }
}

std::int64_t buffer_bytes() {
  const std::int64_t most = std::max<std::int64_t>(available_bytes() / 4, std::int64_t{64} << 20);
  return std::min(std::max(4 * last_level_cache_bytes(), kSmallest), most);
}

}  // namespace

LimitMeter::LimitMeter(int threads, Arithmetic arithmetic) : threads_(threads), loop_(multiply_adds(arithmetic)) {
  const std::size_t pieces = std::max<std::size_t>(1, buffer_bytes() / (threads * kPieceFloats * sizeof(float)));
  floats_per_thread_ = pieces * kPieceFloats;
  const std::size_t bytes = (threads * floats_per_thread_ * sizeof(float) + kHugePage - 1) / kHugePage * kHugePage;
  memory_.reset(static_cast<float*>(std::aligned_alloc(kHugePage, bytes)));
  if (!memory_) throw std::bad_alloc();
  madvise(memory_.get(), bytes, MADV_HUGEPAGE);  // a wish: without it reading is some per cent slower
  (void)rate_of_all(threads, [&](int t) {
    std::fill_n(memory_.get() + t * floats_per_thread_, floats_per_thread_, 1e-9f);
    return 0.0;
  });
}

Limits LimitMeter::read() { return {read_memory(), multiply_add()}; }

double LimitMeter::read_memory() {
  std::vector<std::size_t> ends(threads_);
  std::vector<float> sums(threads_);
  const double rate = rate_of_all(threads_, [&](int t) {
    std::size_t at = next_;
    const double own = rate_for(kMemoryTime, [&] {
      sums[t] += read_all({memory_.get() + t * floats_per_thread_ + at, kPieceFloats});
      at = (at + kPieceFloats) % floats_per_thread_;
      return static_cast<double>(kPieceFloats * sizeof(float));
    });
    ends[t] = at;
    return own;
  });
  next_ = ends[0];
  return rate;
}

double LimitMeter::multiply_add() const {
  return rate_of_all(threads_, [&](int) {
    return rate_for(kArithmeticTime, [&] {
      loop_.run(kRounds);
      return static_cast<double>(loop_.flops_per_round * kRounds);
    });
  });
}

}  // namespace rwkv::bench
