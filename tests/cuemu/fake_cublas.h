// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/cublas_api.h"

namespace cuemu {

// cuBLASLt as a slow kernel: sums in float32, one rounding to the type of d. It refuses what the library refuses.
rwkv::cuda::CublasLt fake_cublas();

}  // namespace cuemu
