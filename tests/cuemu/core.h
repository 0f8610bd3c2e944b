// SPDX-License-Identifier: Apache-2.0
// The emulated GPU as its parts see it: the language (headers that kernels include) above, scheduler and runtime below.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>

namespace cuemu {

using Where = std::source_location;

struct Launch {
  dim3 grid, block;
  std::size_t shared_bytes;
  bool overlap;  // programmatic dependent launch
  Where where;
};

// report.cpp: a report is kept until take_report(); of several the first one.
std::string at(const Where& where);  // "norm.cu:34"
void report(std::string text);
[[nodiscard]] const std::string& current_report();

// scheduler.cpp. Runs call(arguments) for every thread of a grid; false after a report.
bool run_grid(const Launch& launch, void (*call)(void*), void* arguments);
// Of the running CUDA thread, which never comes back from fail().
[[noreturn]] void fail(const std::string& what, const Where& where);
// The same, but the block goes on until its end: what else is wrong, a race, may tell more.
void complain(const std::string& what, const std::string& at);
extern unsigned current_lane;
[[nodiscard]] inline unsigned lane() { return current_lane; }
// How many threads of the block passed true.
unsigned barrier(bool predicate, const Where& where);
int code_sm();  // compute capability that the kernels which run were compiled for
void require_sm(int sm, const char* what, const Where& where);
// A float32 and exact products, four at a time, as tensor cores add them, which is documented nowhere but was measured (Fasi et
// al., Numerical behavior of NVIDIA tensor cores, PeerJ Computer Science 7:e330), on the least exact ones: each number is cut
// to the last bit that the largest has in float32, and so is their sum. Newer cards keep a bit or two more.
float add_products(float sum, const double* products, int n);
void wait_for_previous_kernel();
// Orders memory between all that call it.
void fence();

// What a lane hands to the other lanes of a warp operation.
struct Slot {
  std::uint64_t words[2];
};
// Meets the other lanes of the mask in the same call; 32 slots, valid until the caller's next warp operation or barrier.
const Slot* exchange(unsigned mask, Slot mine, const char* operation, const Where& where);
void sync_warp(unsigned mask, const Where& where);

// cp.async: what the running CUDA thread has begun. All of it lies in the emulator, where TSan does not see it.
struct AsyncCopy {
  void* to;
  const void* from;
  unsigned bytes;
};
void begin_copy(const AsyncCopy& copy, const Where& where);
void close_copy_group();
// The next copy to be made when only `pending` groups may be left; false: no more.
bool take_copy(unsigned pending, AsyncCopy& copy);

// shared_memory.cpp. Of the running block; filled with 0xFF, which is NaN in every float type.
void* shared_array(const void* key, std::size_t bytes);
void* dynamic_shared();
[[nodiscard]] bool is_shared(const void* p, std::size_t bytes);

// unwritten.cpp. From here on it is as if nothing had been written there.
void forget_writes(void* p, std::size_t bytes);

// runtime/launch.cpp. What is wrong with a kernel's argument, "" for nothing.
std::string check_argument(const void* bytes, std::size_t size, bool is_pointer);

// A kernel with its arguments.
struct Call {
  const void* kernel;
  void (*run)(void* arguments);           // one thread
  std::string (*check)(void* arguments);  // "" or what is wrong
  std::shared_ptr<void> arguments;
};
// From here on the runtime owns the arguments: the thread that runs the kernel releases them.
cudaError_t enqueue(const Launch& launch, cudaStream_t stream, Call call);

}  // namespace cuemu
