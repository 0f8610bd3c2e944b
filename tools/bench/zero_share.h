// SPDX-License-Identifier: Apache-2.0
// How much of the squared ReLU is zero: rows of ffn.value that a step leaves out.
#pragma once
#include <functional>
#include <optional>

#include "kernels/device.h"

namespace rwkv::bench {

// Of the inputs of all input-major matrices that `steps` multiplies on `device`, which nothing else uses meanwhile. Empty:
// there are none, or the device is not a CPU.
[[nodiscard]] std::optional<double> zero_share(Device& device, const std::function<void()>& steps);

}  // namespace rwkv::bench
