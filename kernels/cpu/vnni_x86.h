// SPDX-License-Identifier: Apache-2.0
// Instructions on bytes that newer AVX-512 processors have and Highway 1.0.3 no target for: VNNI, the dot product of four
// unsigned and four signed bytes; VBMI and VBMI2, with it on all but the first of them, a lookup in all bytes of a register and
// a shift through two.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rwkv::cpu {

// Whether this machine has it.
[[nodiscard]] bool has_vnni();
[[nodiscard]] bool has_vbmi();  // both, and VNNI
// For tests: as if it had it not.
void hide_vnni(bool hidden);
void hide_vbmi(bool hidden);

#if defined(__x86_64__)
// Instructions the compiler is not told of, so that callers need no other target than their own: AVX-512.
#define RWKV_AVX512_INLINE __attribute__((target("avx512f,avx512vl"), always_inline)) inline

template <class Vector>
RWKV_AVX512_INLINE Vector add_quads_vnni(Vector sum, Vector w, Vector x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "vm"(x));
  return sum;
}

// table[index], of an index as many bits as the number of bytes takes.
template <class Vector>
RWKV_AVX512_INLINE Vector lookup_bytes_vbmi(Vector table, Vector index) {
  Vector out;
  asm("vpermb %2, %1, %0" : "=v"(out) : "v"(index), "vm"(table));
  return out;
}

// In each 32 bits: high << 8 | low >> 24.
template <class Vector>
RWKV_AVX512_INLINE Vector shift_in_byte_vbmi(Vector high, Vector low) {
  Vector out;
  asm("vpshldd $8, %2, %1, %0" : "=v"(out) : "v"(high), "vm"(low));
  return out;
}

#undef RWKV_AVX512_INLINE
#endif

}  // namespace rwkv::cpu
