// SPDX-License-Identifier: Apache-2.0
// What a model will take of its devices' memory, known before its file is read.
#pragma once
#include <cstddef>
#include <vector>

#include "forward.h"
#include "lay_out.h"
#include "load.h"

namespace rwkv {

// Bytes on one device.
struct DeviceNeeds {
  std::size_t weights = 0;    // that stay there
  std::size_t areas = 0;      // for streamed ones
  std::size_t workspace = 0;  // of one forward
  std::size_t scratch = 0;    // of its kernels
  std::size_t state = 0;      // of one text

  [[nodiscard]] std::size_t total() const { return weights + areas + workspace + scratch + state; }
};

struct MemoryPlan {
  std::vector<DeviceNeeds> devices;   // [Model::Impl::devices]
  std::size_t first_streamed = 0;     // a layer
  std::vector<std::size_t> streamed;  // bytes of that layer and those behind it that are streamed, on the device and the host
};

// model: of lay_out().
[[nodiscard]] MemoryPlan plan_memory(const CheckedCheckpoint& checkpoint, const Model::Impl& model);

// Says that there is too little before the system's own way of saying so, which may end the process, and what would fit.
// Throws OutOfMemoryError.
void require_memory(const CheckedCheckpoint& checkpoint, const Model::Impl& model, const MemoryPlan& plan,
                    OpenDevices& devices);

}  // namespace rwkv
