// SPDX-License-Identifier: Apache-2.0
// Which cuBLASLt the conformance suite uses: the emulator's, or on a GPU the library.
#pragma once
#include "kernels/cuda/cublas_api.h"

#ifdef CUEMU
#include "cuemu/fake_cublas.h"
#endif

namespace rwkv::test {

// create is null where there is none.
inline cuda::CublasLt cublas() {
#ifdef CUEMU
  return cuemu::fake_cublas();
#else
  return {};  // until the backend has a loader
#endif
}

}  // namespace rwkv::test
