// SPDX-License-Identifier: Apache-2.0
// What a card reaches at best, for rwkv-bench. Needs no header of CUDA.
#pragma once
#include <functional>

#include "kernels/device_limits.h"

namespace rwkv::cuda {

// Each call reads it anew, in some 20 ms. Takes half a gibibyte of the card, or less, while the function lives.
// ordinal < find_devices().n_device.
[[nodiscard]] std::function<DeviceLimits()> limit_reader(int ordinal);

}  // namespace rwkv::cuda
