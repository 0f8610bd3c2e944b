// SPDX-License-Identifier: Apache-2.0
// What this build's kernels were compiled for.
#pragma once

namespace rwkv::cuda {

// In kernels on the current device __CUDA_ARCH__ / 10: 90 for sm_90, less than the device's capability where the driver has to
// translate PTX. Throws DeviceError where the device can run none of the build's code.
[[nodiscard]] int code_capability();

}  // namespace rwkv::cuda
