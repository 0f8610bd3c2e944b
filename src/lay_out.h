// SPDX-License-Identifier: Apache-2.0
// A strategy for a checkpoint: which layer goes to which device, and the devices.
#pragma once
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "forward.h"
#include "load.h"

namespace rwkv {

// Opens devices, each once.
class OpenDevices {
 public:
  explicit OpenDevices(int threads);  // of the CPU, for each; 0: one per core. Throws ArgumentError.
  [[nodiscard]] std::shared_ptr<Device> open(DeviceId id);

 private:
  int threads_;
  std::vector<std::pair<DeviceId, std::shared_ptr<Device>>> opened_;
};

// A model without weights: its config, placements, devices and stages. Throws StrategyError, DeviceError.
[[nodiscard]] std::shared_ptr<Model::Impl> lay_out(const CheckedCheckpoint& checkpoint, std::string_view strategy,
                                                   OpenDevices& devices);

}  // namespace rwkv
