// SPDX-License-Identifier: Apache-2.0
// Which cuBLASLt the conformance suite uses: the emulator's, or on a GPU the library.
#pragma once
#include "cuemu/conformance/conformance.h"
#include "kernels/cuda/cublas.h"

#ifdef CUEMU
#include "cuemu/fake_cublas.h"
#endif

namespace rwkv::test {

inline void check(cuda::CublasLt::Status status) {
  if (status == cuda::CublasLt::Status::success) return;
  throw Error("cuBLASLt: status " + std::to_string(static_cast<int>(status)));
}

// create is null where there is none.
inline cuda::CublasLt cublas() {
#ifdef CUEMU
  return cuemu::fake_cublas();
#else
  return cuda::open_cublas().value_or(cuda::CublasLt{});
#endif
}

}  // namespace rwkv::test
