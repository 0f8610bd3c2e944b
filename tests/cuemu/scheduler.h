// SPDX-License-Identifier: Apache-2.0
// What the scheduler shares with the runtime and the shared memory.
#pragma once
#include <cstddef>

#include "cuemu/sanitizer.h"

namespace cuemu {

// Every byte of memory until it is written: NaN in every float type.
inline constexpr unsigned char kNeverWritten = 0xFF;

// For TSan: what orders the kernels of a stream. chain: before the first of those that overlap.
struct StreamOrders {
  sanitizer::Order chain, start, end;
};
// Of the kernel that runs; enqueued: its launch by the host.
extern StreamOrders* stream_orders;
extern sanitizer::Order* enqueued;

bool in_kernel();

// unwritten.cpp. Memory for kernels, whose reads and writes it sees; null: no more. Bytes are multiples of 4096.
unsigned char* take_space(std::size_t bytes);
void release_space(unsigned char* p, std::size_t bytes);
void renew_space(unsigned char* p, std::size_t bytes);  // for TSan nobody has touched it

// shared_memory.cpp
void shared_memory_for_grid();
void shared_memory_for_block(std::size_t dynamic_bytes);
[[nodiscard]] std::size_t shared_memory_limit();  // bytes per block

}  // namespace cuemu
