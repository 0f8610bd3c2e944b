// SPDX-License-Identifier: Apache-2.0
// The fake CUDA runtime: it defines the functions that the toolkit's header declares, over host memory. Streams are lazy: work
// runs when the host synchronises, so that one who forgot to sees old values.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "cuemu/core.h"
#include "cuemu/cuemu.h"
#include "cuemu/sanitizer.h"
#include "cuemu/scheduler.h"

namespace cuemu {

struct Stream;
struct Capture;

// A place in a stream: what cudaEventRecord makes of an event.
struct Mark {
  Stream* stream = nullptr;
  bool reached = false;
  Capture* capture = nullptr;  // recorded while this was going on
  std::size_t n_node = 0;      // of the capture, at that time
  sanitizer::Order order;
};

struct Task;
using Tasks = std::vector<std::shared_ptr<Task>>;

struct Task {
  // False: something was reported. check() runs as the host, run() as the stream.
  std::function<bool()> check, run;
  Tasks nodes;  // of a graph: instead
  bool is_kernel = false;
  bool overlap = false;
  const void* pinned = nullptr;  // what a copy reads or writes of it
  std::shared_ptr<Mark> waits_for;
  std::shared_ptr<Mark> marks;
  sanitizer::Order enqueued;
};

struct Stream {
  Stream() { actor.create(); }  // now: TSan takes what its creator has done for ordered before it

  int device = 0;
  bool blocking = true;  // with the default stream
  std::deque<std::shared_ptr<Task>> queue;
  Tasks ended;  // kept until the host synchronises: TSan takes their release for an access of their memory
  Capture* capture = nullptr;

  sanitizer::Actor actor;
  sanitizer::Order progress;  // after each task
  StreamOrders orders;
  bool after_kernel = false;
};

// A capture under way. Nodes are kept in the order of their calls, which is one that their dependencies allow.
struct Capture {
  Stream* origin;
  cudaStreamCaptureMode mode;
  bool valid = true;
  Tasks nodes{};
  // Streams that joined, with the number of nodes up to their last unjoined one; 0: none.
  std::map<Stream*, std::size_t> forked{};
  std::thread::id thread = std::this_thread::get_id();  // that began it
};

struct Event {
  int device = 0;
  std::shared_ptr<Mark> mark;
  bool timing = true;
};
struct Graph {
  Tasks nodes;
};

struct Allocation {
  std::size_t bytes;
  unsigned char* raw;
  int device;  // -1: pinned host memory
};
struct Device {
  Stream default_stream;
  std::size_t used = 0;
  std::set<int> peers;  // whose memory its kernels may touch; they need not let it touch theirs
};

struct Runtime {
  std::recursive_mutex mutex;
  std::map<int, Device> devices;
  std::map<std::uintptr_t, Allocation> allocations;  // by first byte
  std::vector<Stream*> streams;                      // without the default ones, in the order of creation
  std::set<Event*> events;
  std::set<Graph*> graphs, executables;
  std::set<Capture*> captures;
  // By cudaFuncSetAttribute: of a kernel on a device of a compute capability.
  std::map<std::tuple<const void*, int, int>, int> dynamic_shared;
};
Runtime& runtime();
Device& current_device();
int& current_device_number();  // of the calling thread
cudaError_t& last_error();     // of the calling thread

// memory.cpp. From now on all may be touched that the task may touch: by a kernel its device's and its peers' memory, by a copy
// all; none.
void open_memory(const Stream& stream, const Task& task);
void close_memory();

// Every function of the runtime: one at a time, and none works after a report.
template <class F>
cudaError_t call(F&& body) {
  const std::lock_guard lock(runtime().mutex);
  cudaError_t error = current_report().empty() ? body() : cudaErrorLaunchFailure;
  close_memory();
  if (!current_report().empty()) error = cudaErrorLaunchFailure;
  if (error != cudaSuccess) last_error() = error;
  return error;
}

// memory.cpp. Whether config().allocations_left allows one more, which it then counts.
bool take_allocation();
struct Found {
  std::uintptr_t first;
  const Allocation* allocation;  // null: host memory that the runtime did not make
};
Found find(const void* p);

// stream.cpp
Stream* stream_of(cudaStream_t handle);  // null: no such stream
cudaError_t push(Stream& stream, std::shared_ptr<Task> task);
void step(Stream& stream);
void synchronise(Stream& stream);
void synchronise_device(int device);
void give_up();  // after a report nothing runs any more

// graph.cpp. Whether a call that could disturb a capture is refused; then the capture is lost. In thread-local mode it is
// refused to the thread that captures, in global mode to all, in relaxed mode to none.
bool refused_by_capture();
// The same for a call that waits for all streams of the current device, in every mode and thread.
bool wait_refused_by_capture();
cudaError_t add_node(Stream& stream, std::shared_ptr<Task> task);
void forget_capture(Stream& stream);  // the stream is going

}  // namespace cuemu
