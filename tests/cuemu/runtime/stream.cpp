// SPDX-License-Identifier: Apache-2.0
// Streams and events. Of a device's streams the one whose turn it is in config().order goes on first.
#include <algorithm>
#include <random>

#include "cuemu/runtime/state.h"
#include "cuemu/scheduler.h"

namespace cuemu {
namespace {

std::vector<Stream*> streams_of(int device) {
  std::vector<Stream*> streams{&runtime().devices[device].default_stream};
  for (Stream* const s : runtime().streams) {
    if (s->device == device) streams.push_back(s);
  }
  return streams;
}

void enqueue_now(Stream& stream, std::shared_ptr<Task> task) {
  sanitizer::release(task->enqueued);
  stream.queue.push_back(std::move(task));
}

// The work of one stream goes on after what the other has been given so far.
void order_after(Stream& later, Stream& earlier) {
  const auto mark = std::make_shared<Mark>();
  mark->stream = &earlier;
  const auto record = std::make_shared<Task>(), wait = std::make_shared<Task>();
  record->marks = wait->waits_for = mark;
  enqueue_now(earlier, record);
  enqueue_now(later, wait);
}

}  // namespace

void give_up() {
  for (auto& [number, device] : runtime().devices) {
    for (Stream* const s : streams_of(number)) {
      sanitizer::acquire(s->progress);
      for (const auto& task : s->queue) {
        if (task->marks) task->marks->reached = true;
      }
      s->queue.clear();
    }
  }
}

Stream* stream_of(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &current_device().default_stream;
  auto* const stream = reinterpret_cast<Stream*>(handle);
  return std::ranges::count(runtime().streams, stream) ? stream : nullptr;
}

cudaError_t push(Stream& stream, std::shared_ptr<Task> task) {
  if (stream.capture != nullptr) return add_node(stream, std::move(task));
  const bool is_default = &stream == &runtime().devices[stream.device].default_stream;
  if (is_default) {
    for (Stream* const other : streams_of(stream.device)) {
      if (other == &stream || !other->blocking) continue;
      if (other->capture != nullptr) {
        other->capture->valid = false;
        return cudaErrorStreamCaptureImplicit;
      }
      order_after(stream, *other);
    }
  } else if (stream.blocking) {
    order_after(stream, runtime().devices[stream.device].default_stream);
  }
  enqueue_now(stream, std::move(task));
  return cudaSuccess;
}

namespace {

bool execute(Stream& stream, const Task& task) {
  if (task.check && !task.check()) return false;
  const sanitizer::Acting acting(stream.actor);
  if (!(task.overlap && stream.after_kernel)) sanitizer::release(stream.orders.chain);
  stream.after_kernel = task.is_kernel;
  stream_orders = &stream.orders;
  open_memory(stream, task);
  const bool good = task.run();
  sanitizer::release(stream.progress);
  return good;
}

// Takes up what was before the task, and lets others take up what came of it.
void begin(Stream& stream, Task& task) {
  const sanitizer::Acting acting(stream.actor);
  sanitizer::acquire(task.enqueued);
  if (task.waits_for) sanitizer::acquire(task.waits_for->order);
  enqueued = &task.enqueued;
}
void end(Stream& stream, Task& task) {
  if (!task.marks) return;
  const sanitizer::Acting acting(stream.actor);
  sanitizer::release(task.marks->order);
  task.marks->reached = true;
}

}  // namespace

void step(Stream& stream) {
  const std::shared_ptr<Task> task = stream.queue.front();
  stream.queue.pop_front();
  stream.ended.push_back(task);
  while (task->waits_for && !task->waits_for->reached) step(*task->waits_for->stream);
  if (!current_report().empty()) return;
  begin(stream, *task);
  bool good = !task->run || execute(stream, *task);
  if (!task->run) stream.after_kernel = false;  // an event or a graph: the next kernel overlaps nothing before it
  for (const auto& node : task->nodes) good = good && execute(stream, *node);
  end(stream, *task);
  if (!good) give_up();
}

void synchronise(Stream& stream) {
  if (!stream.queue.empty()) ++counts().waits;
  while (!stream.queue.empty()) step(stream);
  sanitizer::acquire(stream.progress);
  stream.ended.clear();
}

void synchronise_device(int device) {
  static std::mt19937_64 random(config().seed);
  std::vector<Stream*> streams = streams_of(device);
  if (config().order == Order::reverse) std::ranges::reverse(streams);
  const auto has_work = [](const Stream* s) { return !s->queue.empty(); };
  while (config().order == Order::random && std::ranges::any_of(streams, has_work)) {
    Stream* const stream = streams[random() % streams.size()];
    if (has_work(stream)) step(*stream);
  }
  for (Stream* const s : streams) synchronise(*s);
}

namespace {

Event* event_of(cudaEvent_t handle) {
  auto* const event = reinterpret_cast<Event*>(handle);
  return runtime().events.contains(event) ? event : nullptr;
}

template <class F>
cudaError_t with_event(cudaEvent_t handle, F&& body) {
  return call([&] {
    Event* const event = event_of(handle);
    return event ? body(*event) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t wait(Stream& stream, const std::shared_ptr<Mark>& mark) {
  if (!mark) return cudaSuccess;
  if (Capture* const capture = mark->capture) {  // the stream joins it
    if (!runtime().captures.contains(capture) || (stream.capture && stream.capture != capture)) return cudaErrorCapturedEvent;
    if (!stream.capture && !stream.queue.empty()) synchronise(stream);
    if (!stream.capture) capture->forked.emplace(&stream, 0);
    stream.capture = capture;
    const auto fork = capture->forked.find(mark->stream);
    if (fork != capture->forked.end() && fork->second <= mark->n_node) fork->second = 0;
    return cudaSuccess;
  }
  if (stream.capture != nullptr) {
    stream.capture->valid = false;
    return cudaErrorStreamCaptureIsolation;
  }
  const auto task = std::make_shared<Task>();
  task->waits_for = mark;
  return push(stream, task);
}

}  // namespace
}  // namespace cuemu

using namespace cuemu;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return call([=] {
    if (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) return cudaErrorInvalidValue;
    auto* const stream = new Stream;
    stream->device = current_device_number();
    stream->blocking = (flags & cudaStreamNonBlocking) == 0;
    current_device();
    runtime().streams.push_back(stream);
    *handle = reinterpret_cast<cudaStream_t>(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int) {
  return cudaStreamCreateWithFlags(handle, flags);
}
cudaError_t cudaStreamCreate(cudaStream_t* handle) { return cudaStreamCreateWithFlags(handle, cudaStreamDefault); }

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const std::lock_guard lock(runtime().mutex);
  Stream* const stream = handle ? stream_of(handle) : nullptr;
  if (stream == nullptr) return call([] { return cudaErrorInvalidResourceHandle; });
  synchronise(*stream);
  forget_capture(*stream);
  std::erase(runtime().streams, stream);
  delete stream;
  return call([] { return cudaSuccess; });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([=] {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
      stream->capture->valid = false;
      return cudaErrorStreamCaptureUnsupported;
    }
    synchronise(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call([=] {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (!stream->queue.empty()) {
      step(*stream);
      return cudaErrorNotReady;
    }
    synchronise(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return with_event(event, [&](Event& e) {
    Stream* const stream = stream_of(handle);
    return stream ? wait(*stream, e.mark) : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
  return call([=] {
    auto* const event = new Event;
    event->device = current_device_number();
    event->timing = (flags & cudaEventDisableTiming) == 0;
    runtime().events.insert(event);
    *handle = reinterpret_cast<cudaEvent_t>(event);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  const std::lock_guard lock(runtime().mutex);
  Event* const event = event_of(handle);
  if (event == nullptr) return call([] { return cudaErrorInvalidResourceHandle; });
  runtime().events.erase(event);
  delete event;
  return call([] { return cudaSuccess; });
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t in) {
  return with_event(handle, [&](Event& event) {
    Stream* const stream = stream_of(in);
    if (stream == nullptr || stream->device != event.device) return cudaErrorInvalidResourceHandle;
    event.mark = std::make_shared<Mark>();
    event.mark->stream = stream;
    event.mark->capture = stream->capture;
    if (stream->capture != nullptr) {
      event.mark->n_node = stream->capture->nodes.size();
      return cudaSuccess;
    }
    const auto task = std::make_shared<Task>();
    task->marks = event.mark;
    return push(*stream, task);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return with_event(handle, [](Event& event) {
    if (!event.mark) return cudaSuccess;
    if (event.mark->capture != nullptr) return cudaErrorCapturedEvent;
    if (!event.mark->reached) {
      step(*event.mark->stream);
      return cudaErrorNotReady;
    }
    sanitizer::acquire(event.mark->order);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return with_event(handle, [](Event& event) {
    if (!event.mark) return cudaSuccess;
    if (event.mark->capture != nullptr) return cudaErrorCapturedEvent;
    if (!event.mark->reached) ++counts().waits;
    while (!event.mark->reached) step(*event.mark->stream);
    sanitizer::acquire(event.mark->order);
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return with_event(from, [&](Event& first) {
    Event* const last = event_of(to);
    if (last == nullptr || !first.mark || !last->mark || !first.timing || !last->timing) return cudaErrorInvalidResourceHandle;
    if (!first.mark->reached || !last->mark->reached) return cudaErrorNotReady;
    *milliseconds = 1.0f;  // time does not exist here
    return cudaSuccess;
  });
}

}  // extern "C"
