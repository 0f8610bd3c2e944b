// SPDX-License-Identifier: Apache-2.0
// Stream capture and graphs.
#include <thread>

#include "cuemu/conformance/objects.h"

namespace rwkv::test {
namespace {

__global__ void scale(const int* from, int* to, int factor) { to[threadIdx.x] = factor * from[threadIdx.x]; }

TEST(Graphs, CapturedWorkRunsWhenLaunchedAndReadsMemoryThen) {
  const Stream stream;
  const DeviceArray<int> p(std::vector<int>(32, 1)), q(std::vector<int>(32, 0)), r(std::vector<int>(32, 0));
  const Graph graph(capture(stream, [&] {
    launch({1, 32, 0, stream}, scale, p.data(), q.data(), 2);
    launch({1, 32, 0, stream}, scale, q.data(), r.data(), 3);
  }));
  EXPECT_EQ(r.values(), std::vector<int>(32, 0));
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(r.values(), std::vector<int>(32, 6));
  check(cudaMemcpy(p.data(), std::vector<int>(32, 5).data(), 128, cudaMemcpyHostToDevice));
  check(cudaGraphLaunch(graph, stream));
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(r.values(), std::vector<int>(32, 30));
}

TEST(Graphs, ArgumentsAreThoseOfTheCapture) {
  const Stream stream;
  const DeviceArray<int> p(std::vector<int>(32, 1)), q(32);
  int factor = 7;
  const Graph graph(capture(stream, [&] { launch({1, 32, 0, stream}, scale, p.data(), q.data(), factor); }));
  factor = 8;
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(q.values()[0], 7);
}

TEST(Graphs, CopiesOfPinnedMemoryReadItWhenLaunched) {
  const Stream stream;
  const Pinned<int> in(32);
  const DeviceArray<int> p(32), q(32);
  in.data()[3] = 1;
  const Graph graph(capture(stream, [&] {
    check(cudaMemcpyAsync(p.data(), in.data(), 128, cudaMemcpyHostToDevice, stream));
    check(cudaMemsetAsync(q.data(), 0, 128, stream));
    launch({1, 32, 0, stream}, scale, p.data(), q.data(), 10);
  }));
  in.data()[3] = 2;
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(q.values()[3], 20);
}

TEST(Graphs, AnotherStreamJoinsByAnEventAndMustComeBack) {
  const Stream stream, side(cudaStreamNonBlocking);
  const Event fork, join;
  const DeviceArray<int> p(std::vector<int>(32, 1)), q(32), r(32);
  const auto forked = [&] {
    check(cudaEventRecord(fork, stream));
    check(cudaStreamWaitEvent(side, fork, 0));
    launch({1, 32, 0, side}, scale, p.data(), q.data(), 4);
    check(cudaEventRecord(join, side));
  };
  const Graph graph(capture(stream, [&] {
    forked();
    check(cudaStreamWaitEvent(stream, join, 0));
    launch({1, 32, 0, stream}, scale, q.data(), r.data(), 5);
  }));
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(r.values()[0], 20);

  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  forked();
  cudaGraph_t lost = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &lost), cudaErrorStreamCaptureUnjoined);
  cudaGetLastError();
}

TEST(Graphs, WhatWouldWaitIsRefusedDuringCapture) {
  const Stream stream;
  const DeviceArray<int> p(32);
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  cudaGetLastError();

  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  void* more = nullptr;
  EXPECT_NE(cudaMalloc(&more, 4), cudaSuccess);
  EXPECT_NE(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGetLastError();

  check(cudaMemsetAsync(p.data(), 0, 128, stream));  // the stream is of use again
  check(cudaStreamSynchronize(stream));
}

TEST(Graphs, OtherThreadsGoOnDuringAThreadLocalCapture) {
  const Stream stream(cudaStreamNonBlocking);
  const DeviceArray<int> p(std::vector<int>(32, 1)), q(32);
  std::vector<int> found(32);
  const Graph graph(capture(stream, [&] {
    launch({1, 32, 0, stream}, scale, p.data(), q.data(), 2);
    std::thread([&] {
      const Stream other(cudaStreamNonBlocking);
      const DeviceArray<int> r(32);
      launch({1, 32, 0, other}, scale, p.data(), r.data(), 3);
      check(cudaStreamSynchronize(other));
      check(cudaMemcpyAsync(found.data(), r.data(), 128, cudaMemcpyDeviceToHost, other));
      check(cudaStreamSynchronize(other));
    }).join();
    launch({1, 32, 0, stream}, scale, q.data(), q.data(), 2);
  }));
  EXPECT_EQ(found, std::vector<int>(32, 3));
  std::size_t n_node = 0;
  check(cudaGraphGetNodes(graph.graph(), nullptr, &n_node));
  EXPECT_EQ(n_node, 2u);
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(q.values(), std::vector<int>(32, 4));
}

TEST(Graphs, TheThreadThatBeganACaptureEndsIt) {
  const Stream stream(cudaStreamNonBlocking);
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  std::thread([&] { EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureWrongThread); }).join();
  static_cast<void>(cudaStreamEndCapture(stream, &graph));
  if (graph != nullptr) check(cudaGraphDestroy(graph));
  cudaGetLastError();
}

TEST(Graphs, CapturesNeedAStreamAndAnEnd) {
  cudaGraph_t graph = nullptr;
  EXPECT_NE(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  const Stream stream;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
  cudaGetLastError();
}

TEST(Graphs, AnUpdateChangesArgumentsNotTheShape) {
  const Stream stream;
  const DeviceArray<int> p(std::vector<int>(32, 1)), q(32);
  const Graph graph(capture(stream, [&] { launch({1, 32, 0, stream}, scale, p.data(), q.data(), 2); }));
  const Graph other(capture(stream, [&] { launch({1, 32, 0, stream}, scale, p.data(), q.data(), 9); }));
  const Graph longer(capture(stream, [&] {
    launch({1, 32, 0, stream}, scale, p.data(), q.data(), 2);
    launch({1, 32, 0, stream}, scale, p.data(), q.data(), 3);
  }));
  cudaGraphExecUpdateResultInfo info{};
  check(cudaGraphExecUpdate(graph, other.graph(), &info));
  check(cudaGraphLaunch(graph, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(q.values()[0], 9);
  EXPECT_EQ(cudaGraphExecUpdate(graph, longer.graph(), &info), cudaErrorGraphExecUpdateFailure);
  cudaGetLastError();
}

}  // namespace
}  // namespace rwkv::test
