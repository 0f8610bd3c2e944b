// SPDX-License-Identifier: Apache-2.0
// Owners of what the runtime hands out, for tests.
#pragma once
#include "cuemu/conformance/conformance.h"

namespace rwkv::test {

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamDefault) { check(cudaStreamCreateWithFlags(&stream_, flags)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(unsigned flags = cudaEventDisableTiming) { check(cudaEventCreateWithFlags(&event_, flags)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// What capturing a stream gave, ready to be launched.
class Graph {
 public:
  explicit Graph(cudaGraph_t graph) : graph_(graph) { check(cudaGraphInstantiate(&executable_, graph, 0)); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
  }
  operator cudaGraphExec_t() const { return executable_; }
  [[nodiscard]] cudaGraph_t graph() const { return graph_; }

 private:
  cudaGraph_t graph_;
  cudaGraphExec_t executable_ = nullptr;
};

template <class F>
cudaGraph_t capture(cudaStream_t stream, F&& work, cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
  check(cudaStreamBeginCapture(stream, mode));
  work();
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph));
  return graph;
}

template <class T>
class Pinned {
 public:
  explicit Pinned(std::size_t n) { check(cudaMallocHost(&memory_, n * sizeof(T))); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { cudaFreeHost(memory_); }
  [[nodiscard]] T* data() const { return static_cast<T*>(memory_); }

 private:
  void* memory_ = nullptr;
};

}  // namespace rwkv::test
