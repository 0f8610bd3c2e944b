// SPDX-License-Identifier: Apache-2.0
// Memory of our devices as arrays for others.
#pragma once
#include <rwkv/device_array.h>

#include "kernels/device.h"

namespace rwkv {

// Of float32, at `data`.
[[nodiscard]] DeviceArray array_on(const Device& device, std::string name, std::vector<std::int64_t> shape, void* data,
                                   std::shared_ptr<void> owner);

// The same in memory of its own, contents undefined. Throws OutOfMemoryError.
[[nodiscard]] DeviceArray new_array(std::shared_ptr<Device> device, std::string name, std::vector<std::int64_t> shape);

}  // namespace rwkv
