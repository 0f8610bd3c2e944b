// SPDX-License-Identifier: Apache-2.0
// An array of each sequence of a test's ragged batch (kernels/ragged.h) on the device, and an array of pointers to them.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/device_array.h"

namespace rwkv::test {

class DeviceSlot {
 public:
  explicit DeviceSlot(const std::vector<std::vector<float>>& arrays) {
    std::vector<float*> at;
    for (const auto& values : arrays) at.push_back(arrays_.emplace_back(new DeviceArray<float>(values))->data());
    pointers_ = std::make_unique<DeviceArray<float*>>(at);
  }
  [[nodiscard]] std::vector<float*> pointers() const { return pointers_->values(); }  // to the arrays, on the host

  [[nodiscard]] float* const* data() const { return pointers_->data(); }
  // After all work that the device was given.
  [[nodiscard]] std::vector<std::vector<float>> values() const {
    std::vector<std::vector<float>> all;
    for (const auto& array : arrays_) all.push_back(array->values());
    return all;
  }

 private:
  std::vector<std::unique_ptr<DeviceArray<float>>> arrays_;
  std::unique_ptr<DeviceArray<float*>> pointers_;
};

}  // namespace rwkv::test
