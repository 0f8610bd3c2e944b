// SPDX-License-Identifier: Apache-2.0
// Work that comes again in the same shape, as decode steps do: the device records it and replays it, which costs the host one
// launch instead of one for each kernel.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/device.h"

namespace rwkv {

class RecordedSteps {
 public:
  // Steps of the same shape give the device the same to do, at the same addresses.
  struct Shape {
    std::size_t first_layer;
    std::int64_t n_seq, n_logits;
    bool operator==(const Shape&) const = default;
  };

  // Runs `work` if the shape is new, so that memory grows and kernels are loaded; if it comes again, records and replays it.
  // Where it cannot be recorded, `work` runs every time, once more after it ended early in a recording. The reason may pass (no
  // memory, another thread's wait for the whole device), so the 4th, 8th, 16th ... time is another try: few, as each costs the
  // host a step.
  void run(Device& device, Shape shape, const std::function<void()>& work);

  // Shapes that are remembered: enough for a server whose batches grow and shrink, few enough for their memory not to count.
  static constexpr std::size_t kMost = 8;

 private:
  struct Step {
    Shape shape;
    std::uint64_t uses = 1;                  // until it is recorded
    std::unique_ptr<Recording> recording{};  // null: not yet, or it cannot be recorded
  };
  std::vector<Step> steps_;  // the last used first
};

}  // namespace rwkv
