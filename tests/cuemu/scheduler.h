// SPDX-License-Identifier: Apache-2.0
// What the scheduler shares with the runtime and the shared memory.
#pragma once
#include <cstddef>

#include "cuemu/sanitizer.h"

namespace cuemu {

// Of the kernel that a stream runs: when the chain of overlapping kernels began that it is in, and when it was launched.
extern sanitizer::Order* chain_start;
extern sanitizer::Order* enqueued;

// shared_memory.cpp. A kernel that overlaps the one before gets memory that TSan has not seen.
void shared_memory_for_grid(bool overlap);
void shared_memory_for_block(std::size_t dynamic_bytes);
[[nodiscard]] std::size_t shared_memory_limit();  // bytes per block

}  // namespace cuemu
