// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/recording.h"

#include "kernels/cuda/device.h"

namespace rwkv::cuda {
namespace {

thread_local Capture capture_here;

class Graph {
 public:
  Graph() noexcept = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (graph_) static_cast<void>(cudaGraphDestroy(graph_));
  }

  [[nodiscard]] cudaGraph_t get() const noexcept { return graph_; }
  [[nodiscard]] cudaGraph_t* put() noexcept { return &graph_; }

 private:
  cudaGraph_t graph_ = nullptr;
};

// A capture of this thread from here to end(), which throws if something that it gave the device could not be captured.
class Capturing {
 public:
  explicit Capturing(const CudaDevice& device) {
    check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal));  // other threads may do what they like
    capture_here = {&device, stream_.get()};
  }
  Capturing(const Capturing&) = delete;
  Capturing& operator=(const Capturing&) = delete;
  ~Capturing() {
    if (!capture_here.device) return;
    Graph unfinished;
    static_cast<void>(finish(unfinished));
  }

  void end(Graph& graph) { check(finish(graph)); }

 private:
  [[nodiscard]] cudaError_t finish(Graph& graph) {
    capture_here = {};
    return cudaStreamEndCapture(stream_.get(), graph.put());
  }

  Stream stream_;  // on which nothing ever runs
};

class GraphRecording final : public Recording {
 public:
  GraphRecording(CudaDevice& device, const Graph& graph) : device_(device) {
    check(cudaGraphInstantiate(&executable_, graph.get(), 0));
    const cudaError_t error = cudaGraphUpload(executable_, device.stream());  // now, not by the first replay
    if (error != cudaSuccess) destroy();
    check(error);
  }
  GraphRecording(const GraphRecording&) = delete;
  GraphRecording& operator=(const GraphRecording&) = delete;
  ~GraphRecording() override { destroy(); }

  void replay() override {
    const CurrentDevice current(device_.ordinal());
    // Another thread's kernels that hand something on in this memory are in the stream together.
    const auto alone = device_.scratch().lock();
    check(cudaGraphLaunch(executable_, device_.stream()));
  }

 private:
  void destroy() noexcept {
    try {
      const CurrentDevice current(device_.ordinal());
      check(cudaGraphExecDestroy(executable_));  // if it still runs, when it has ended
    } catch (const Error&) {                     // at the end of the process the runtime may be gone before this
    }
  }

  CudaDevice& device_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

const Capture& capture_of_thread() noexcept { return capture_here; }

std::unique_ptr<Recording> record_graph(CudaDevice& device, const std::function<void()>& work) {
  Graph graph;
  Capturing capturing(device);
  work();
  capturing.end(graph);
  return std::make_unique<GraphRecording>(device, graph);
}

}  // namespace rwkv::cuda
