// SPDX-License-Identifier: Apache-2.0
// The dot product of four unsigned and four signed bytes that newer AVX-512 processors have; Highway 1.0.3 has no target for
// it.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rwkv::cpu {

// Whether this machine has it.
[[nodiscard]] bool has_vnni();
// For tests: as if it had it not.
void hide_vnni(bool hidden);

#if defined(__x86_64__)
// An instruction the compiler is not told of, so that callers need no other target than their own: AVX-512.
template <class Vector>
__attribute__((target("avx512f,avx512vl"), always_inline)) inline Vector add_quads_vnni(Vector sum, Vector w, Vector x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "vm"(x));
  return sum;
}
#endif

}  // namespace rwkv::cpu
