// SPDX-License-Identifier: Apache-2.0
// The devices of this build.
#pragma once
#include <memory>

#include "kernels/device.h"
#include "plan/strategy.h"

namespace rwkv {

// Throws DeviceError when this build or machine has no such device; the message says what to do.
[[nodiscard]] std::shared_ptr<Device> open_device(DeviceId id, int cpu_threads);

// Whether a strategy "auto" may choose CUDA.
[[nodiscard]] bool has_cuda();

}  // namespace rwkv
