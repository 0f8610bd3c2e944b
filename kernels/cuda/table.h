// SPDX-License-Identifier: Apache-2.0
// The kernels of CUDA devices.
#pragma once
#include "kernels/kernels.h"

namespace rwkv::cuda {

[[nodiscard]] const KernelTable& table();

}  // namespace rwkv::cuda
