// SPDX-License-Identifier: Apache-2.0
#include "device_array.h"

#include <functional>
#include <numeric>

#include "kernels/buffer.h"

namespace rwkv {

DeviceArray array_on(const Device& device, std::string name, std::vector<std::int64_t> shape, void* data,
                     std::shared_ptr<void> owner) {
  return {.name = std::move(name),
          .shape = std::move(shape),
          .device = device.is_host() ? DeviceArray::Kind::cpu : DeviceArray::Kind::cuda,
          .ordinal = device.ordinal(),
          .data = data,
          .owner = std::move(owner)};
}

DeviceArray new_array(std::shared_ptr<Device> device, std::string name, std::vector<std::int64_t> shape) {
  struct Owned {
    std::shared_ptr<Device> device;  // in front: it outlives the memory
    Buffer memory;
  };
  const auto n = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  if (n == 0) return array_on(*device, std::move(name), std::move(shape), nullptr, nullptr);
  auto owned = std::make_shared<Owned>(device, Buffer(*device, static_cast<std::size_t>(n) * sizeof(float)));
  void* const data = owned->memory.data();
  return array_on(*device, std::move(name), std::move(shape), data, std::move(owned));
}

}  // namespace rwkv
