// SPDX-License-Identifier: Apache-2.0
// The list of devices.
#include "devices.h"

#include "kernels/cpu/device.h"
#include "message.h"

namespace rwkv {

std::shared_ptr<Device> open_device(DeviceId id, int cpu_threads) {
  switch (id.kind) {
    case DeviceKind::cpu:
      return std::make_shared<cpu::CpuDevice>(cpu_threads);
    case DeviceKind::cuda:
      throw DeviceError(message("strategy asks for ", name_of(id),
                                ", but this build of rwkvcpp has no CUDA support; use \"cpu fp32\", ",
                                "\"cpu bf16\" or \"auto\""));
    case DeviceKind::automatic:
    case DeviceKind::mps:
    case DeviceKind::dml:
      break;
  }
  throw DeviceError(message("strategy asks for ", name_of(id), ", which is not supported; use cpu"));
}

bool has_cuda() { return false; }

}  // namespace rwkv
