// SPDX-License-Identifier: Apache-2.0
// What a test can set and ask of the emulator. Tests of kernels need none of it: they use the CUDA runtime's own functions.
#pragma once
#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cuemu {

// In which order the threads of a block, the blocks of a grid and the streams of a device run.
enum class Order { forward, reverse, random };

struct Config {
  Order order = Order::forward;
  std::uint64_t seed = 1;  // of Order::random
  int n_device = 2;
  bool peer_access = true;                           // whether devices can access each other's memory
  int sm = 90;                                       // compute capability, 75 for 7.5
  int code = INT_MAX;                                // what kernels were compiled for if that is less; 0: nothing that runs
  std::size_t device_memory = std::size_t{8} << 30;  // bytes of each device
  std::int64_t allocations_left = INT64_MAX;         // cudaMalloc fails after so many; making a graph ready takes two
};
Config& config();

// What the runtime was asked to do so far, captured work aside: a graph counts once, whatever is in it.
struct Counts {
  std::int64_t kernels = 0, graphs = 0;
  std::int64_t uploads = 0, downloads = 0, copies = 0;  // to the device, to the host, within the device
  std::int64_t waits = 0;                               // of the host, for work that had not run
};
Counts& counts();

// The first thing found wrong since the last call, "" for none: "file:line: block (0,0,0) thread (5,0,0): ...". As on a GPU,
// every call of the runtime fails from then on, with cudaErrorLaunchFailure whose cudaGetErrorString() is this text. Taking
// it makes the devices usable again.
std::string take_report();

// Kernels that have run, those of graphs among them, and how many of them were launched with overlap.
struct Launches {
  std::int64_t all = 0, overlapping = 0;
};
const Launches& launches();

// Allocations, streams, events and graphs that are not released: "2 allocations (4096, 128 bytes), 1 stream"; "" for none.
std::string leaks();

}  // namespace cuemu
