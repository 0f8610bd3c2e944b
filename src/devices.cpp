// SPDX-License-Identifier: Apache-2.0
// The list of devices; the only place that asks which this build has.
#include "devices.h"

#include "kernels/cpu/device.h"
#include "message.h"
#ifdef RWKV_CUDA
#include "kernels/cuda/devices.h"
#include "kernels/cuda/limits.h"
#include "kernels/cuda/table.h"
#endif

namespace rwkv {
namespace {

#ifdef RWKV_CUDA
using cuda::find_devices, cuda::Found;
#else
struct Found {
  int n_device = 0;
  std::string why_none = "this build of rwkvcpp has no CUDA support";
};
Found find_devices() { return {}; }
#endif

std::shared_ptr<Device> open_cuda(DeviceId id, [[maybe_unused]] int cpu_threads) {
  const Found found = find_devices();
#ifdef RWKV_CUDA
  if (id.index < found.n_device) return cuda::open_device(id.index, cpu_threads);
#endif
  const std::string why = found.n_device == 0   ? found.why_none
                          : found.n_device == 1 ? "there is only cuda:0"
                                                : message("there are only cuda:0 to cuda:", found.n_device - 1);
  throw DeviceError(message("strategy asks for ", name_of(id), ", but: ", why, "; use \"cpu fp32\", \"cpu bf16\" or \"auto\""));
}

}  // namespace

std::shared_ptr<Device> open_device(DeviceId id, int cpu_threads) {
  switch (id.kind) {
    case DeviceKind::cpu:
      return std::make_shared<cpu::CpuDevice>(cpu_threads);
    case DeviceKind::cuda:
      return open_cuda(id, cpu_threads);
    case DeviceKind::automatic:
    case DeviceKind::mps:
    case DeviceKind::dml:
      break;
  }
  throw DeviceError(message("strategy asks for ", name_of(id), ", which is not supported; use cpu"));
}

const KernelTable* cuda_kernels() {
#ifdef RWKV_CUDA
  if (find_devices().n_device > 0) return &cuda::table();
#endif
  return nullptr;
}

std::vector<std::string> list_devices() {
  std::vector<std::string> lines{open_device({}, 0)->name()};
  const Found found = find_devices();
  if (found.n_device == 0) lines.push_back("cuda: " + found.why_none);
  for (int i = 0; i < found.n_device; ++i) {
    try {
      const auto device = open_device({DeviceKind::cuda, i}, 1);
      lines.push_back(message(device->name(), ", ", device->available_memory() >> 20, " MiB free"));
    } catch (const Error& error) {
      lines.push_back(message("cuda:", i, ": ", error.what()));
    }
  }
  return lines;
}

std::function<DeviceLimits()> card_limits([[maybe_unused]] int index) {
#ifdef RWKV_CUDA
  return cuda::limit_reader(index);
#else
  throw DeviceError("this build of rwkvcpp has no CUDA support");
#endif
}

}  // namespace rwkv
