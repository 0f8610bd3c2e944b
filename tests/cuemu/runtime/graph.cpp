// SPDX-License-Identifier: Apache-2.0
// Stream capture and graphs. A graph runs its nodes one after the other in the order of the captured calls.
#include <algorithm>
#include <utility>

#include "cuemu/runtime/state.h"

namespace cuemu {

namespace {

template <class Disturbed>
bool refused_by(const Disturbed& disturbed) {
  bool refused = false;
  for (Capture* const capture : runtime().captures) {
    if (!disturbed(*capture)) continue;
    capture->valid = false;
    refused = true;
  }
  return refused;
}

}  // namespace

bool refused_by_capture() {
  return refused_by([](const Capture& capture) {
    return capture.mode == cudaStreamCaptureModeGlobal ||
           (capture.mode == cudaStreamCaptureModeThreadLocal && capture.thread == std::this_thread::get_id());
  });
}
bool wait_refused_by_capture() {
  return refused_by([](const Capture& capture) { return capture.origin->device == current_device_number(); });
}

cudaError_t add_node(Stream& stream, std::shared_ptr<Task> task) {
  Capture& capture = *stream.capture;
  if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
  capture.nodes.push_back(std::move(task));
  if (&stream != capture.origin) capture.forked[&stream] = capture.nodes.size();
  return cudaSuccess;
}

void forget_capture(Stream& stream) {
  Capture* const capture = std::exchange(stream.capture, nullptr);
  if (capture == nullptr) return;
  capture->valid = false;
  capture->forked.erase(&stream);
  if (capture->origin != &stream) return;
  for (const auto& [forked, n_node] : capture->forked) forked->capture = nullptr;
  runtime().captures.erase(capture);
  delete capture;
}

namespace {

Graph* graph_of(const std::set<Graph*>& graphs, void* handle) {
  auto* const graph = static_cast<Graph*>(handle);
  return graphs.contains(graph) ? graph : nullptr;
}

bool same_shape(const Tasks& a, const Tasks& b) {
  return std::ranges::equal(a, b, [](auto& x, auto& y) { return x->is_kernel == y->is_kernel; });
}

cudaError_t end_capture(Stream& stream, cudaGraph_t* handle) {
  *handle = nullptr;
  if (stream.capture == nullptr) return cudaErrorIllegalState;
  if (stream.capture->origin != &stream) return cudaErrorStreamCaptureUnmatched;
  if (stream.capture->mode != cudaStreamCaptureModeRelaxed && stream.capture->thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  const std::unique_ptr<Capture> capture(stream.capture);
  runtime().captures.erase(capture.get());
  stream.capture = nullptr;
  bool unjoined = false;
  for (const auto& [forked, n_node] : capture->forked) {
    forked->capture = nullptr;
    unjoined |= n_node > 0;
  }
  if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (unjoined) return cudaErrorStreamCaptureUnjoined;
  auto* const graph = new Graph{std::move(capture->nodes)};
  runtime().graphs.insert(graph);
  *handle = reinterpret_cast<cudaGraph_t>(graph);
  return cudaSuccess;
}

}  // namespace
}  // namespace cuemu

using namespace cuemu;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call([=] {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (handle == nullptr || handle == cudaStreamLegacy) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture != nullptr) return cudaErrorIllegalState;
    stream->capture = new Capture{stream, mode};
    runtime().captures.insert(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call([=] {
    Stream* const stream = stream_of(handle);
    return stream ? end_capture(*stream, graph) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call([=] {
    const Stream* const stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture->valid   ? cudaStreamCaptureStatusActive
                                         : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle, unsigned long long) {
  return call([=] {
    const Graph* const graph = graph_of(runtime().graphs, handle);
    if (graph == nullptr) return cudaErrorInvalidValue;
    if (!take_allocation()) return cudaErrorMemoryAllocation;
    auto* const copy = new Graph(*graph);
    runtime().executables.insert(copy);
    *executable = reinterpret_cast<cudaGraphExec_t>(copy);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t handle, cudaGraph_t from, cudaGraphExecUpdateResultInfo* info) {
  return call([=] {
    Graph* const executable = graph_of(runtime().executables, handle);
    const Graph* const graph = graph_of(runtime().graphs, from);
    if (executable == nullptr || graph == nullptr) return cudaErrorInvalidValue;
    const bool same = same_shape(executable->nodes, graph->nodes);
    if (info != nullptr) {
      *info = {};
      info->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
    }
    if (!same) return cudaErrorGraphExecUpdateFailure;
    executable->nodes = graph->nodes;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t in) {
  return call([=] {
    Graph* const graph = graph_of(runtime().executables, handle);
    Stream* const stream = stream_of(in);
    if (graph == nullptr || stream == nullptr) return cudaErrorInvalidValue;
    const auto task = std::make_shared<Task>();
    task->nodes = graph->nodes;
    if (stream->capture == nullptr) ++counts().graphs;
    return push(*stream, task);
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t) {
  return call([=] {
    if (graph_of(runtime().executables, handle) == nullptr) return cudaErrorInvalidValue;
    return take_allocation() ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, std::size_t* n_node) {
  return call([=] {
    const Graph* const graph = graph_of(runtime().graphs, handle);
    if (graph == nullptr || nodes != nullptr) return cudaErrorInvalidValue;  // counting is all that is supported
    *n_node = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  const std::lock_guard lock(runtime().mutex);
  Graph* const graph = graph_of(runtime().graphs, handle);
  if (graph == nullptr) return call([] { return cudaErrorInvalidValue; });
  runtime().graphs.erase(graph);
  delete graph;
  return call([] { return cudaSuccess; });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  const std::lock_guard lock(runtime().mutex);
  Graph* const graph = graph_of(runtime().executables, handle);
  if (graph == nullptr) return call([] { return cudaErrorInvalidValue; });
  runtime().executables.erase(graph);
  delete graph;
  return call([] { return cudaSuccess; });
}

}  // extern "C"
