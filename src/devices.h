// SPDX-License-Identifier: Apache-2.0
// The devices of this build.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/device_limits.h"
#include "plan/strategy.h"

namespace rwkv {

// Throws DeviceError when this build or machine has no such device; the message says what to do.
[[nodiscard]] std::shared_ptr<Device> open_device(DeviceId id, int cpu_threads);

// Of the CUDA cards, for a strategy "auto"; null where there is none.
[[nodiscard]] const KernelTable* cuda_kernels();

// A line for the CPU and one for each card, or the reason why there is none: "cpu (AVX3, 2 threads)", "cuda: no NVIDIA driver".
[[nodiscard]] std::vector<std::string> list_devices();

// Reads the limits of card cuda:index, which open_device() has opened, at each call (kernels/cuda/limits.h).
[[nodiscard]] std::function<DeviceLimits()> card_limits(int index);

}  // namespace rwkv
