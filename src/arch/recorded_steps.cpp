// SPDX-License-Identifier: Apache-2.0
#include "arch/recorded_steps.h"

#include <algorithm>
#include <bit>

namespace rwkv {

void RecordedSteps::run(Device& device, Shape shape, const std::function<void()>& work) {
  const auto found = std::ranges::find(steps_, shape, &Step::shape);
  if (found == steps_.end()) {
    work();
    if (steps_.size() == kMost) steps_.pop_back();
    steps_.insert(steps_.begin(), Step{.shape = shape});
    return;
  }
  std::rotate(steps_.begin(), found, found + 1);
  Step& step = steps_.front();
  if (!step.recording && std::has_single_bit(++step.uses)) step.recording = device.record(work);
  step.recording ? step.recording->replay() : work();
}

}  // namespace rwkv
