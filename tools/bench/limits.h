// SPDX-License-Identifier: Apache-2.0
// This machine's limits, read directly: some machines change theirs every few seconds, so they are read beside each sample.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "bench/probe.h"
#include "kernels/device_limits.h"

namespace rwkv::bench {

using Limits = DeviceLimits;

// Of the CPU: reading memory, and multiply-adds in registers, of all threads together.
class LimitMeter {
 public:
  // Takes four times the last-level cache of memory, at most a quarter of what is available.
  LimitMeter(int threads, Arithmetic arithmetic);

  // Takes about 0.1 seconds.
  [[nodiscard]] Limits read();

 private:
  [[nodiscard]] double read_memory();
  [[nodiscard]] double multiply_add() const;

  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  int threads_;
  Loop loop_;
  std::unique_ptr<float, Free> memory_;
  std::size_t floats_per_thread_;
  std::size_t next_ = 0;  // where in its part every thread goes on: what was read last is in the cache
};

}  // namespace rwkv::bench
