// SPDX-License-Identifier: Apache-2.0
// Instructions that CUDA C++ has no function for: tensor cores, asynchronous copies, dependent launches. The only inline PTX;
// fragment layouts are those of the PTX ISA, "Warp Level Matrix Instructions".
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

// The emulator names the kernel's line in its reports.
#ifdef CUEMU
#include "cuemu/ptx.h"
#else
#define CUEMU_CALLER
#endif

namespace rwkv::cuda {

// Byte i is the one of the eight of x (0 to 3) and y (4 to 7) that nibble i of the selector names, 0 to 7; its other half is
// not looked at. __byte_perm masks the nibbles first, an instruction more.
__device__ inline unsigned permute_bytes(unsigned x, unsigned y, unsigned selector CUEMU_CALLER) {
#ifdef CUEMU
  return cuemu::permute_bytes(x, y, selector, where);
#else
  unsigned bytes;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(bytes) : "r"(x), "r"(y), "r"(selector));
  return bytes;
#endif
}

// d [16, 8] += a [16, 16] b [16, 8] by a warp, sums in float32. With g = lane / 4 and t = lane % 4, and of each pair the first
// in the lower half:
//   a[0] = A[g][2t, 2t + 1]    a[1] = A[g + 8][2t, 2t + 1]    a[2] = A[g][2t + 8, 2t + 9]    a[3] = A[g + 8][2t + 8, 2t + 9]
//   b[0] = B[2t, 2t + 1][g]    b[1] = B[2t + 8, 2t + 9][g]
//   d[0], d[1] = D[g][2t, 2t + 1]    d[2], d[3] = D[g + 8][2t, 2t + 1]
// T = __half, or from sm_80 on __nv_bfloat16.
#ifdef CUEMU
template <class T>
void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2] CUEMU_CALLER) {
  cuemu::mma_m16n8k16<T>(d, a, b, where);
}
#else
template <class T>
__device__ inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
template <>
__device__ inline void mma_m16n8k16<__half>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  // sm_75 has the halves along k: a[0], a[1], b[0] and a[2], a[3], b[1] are their fragments.
  for (int k = 0; k < 2; ++k) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(b[k]));
  }
#endif
}
template <>
__device__ inline void mma_m16n8k16<__nv_bfloat16>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}
#endif

// Whether the tensor cores that this code is for have bfloat16. What stands in for them is empty where they do, and quicker to
// compile; the emulator's code is for all cards.
#if !defined(CUEMU) && __CUDA_ARCH__ >= 800
constexpr bool kMultipliesBf16 = true;
#else
constexpr bool kMultipliesBf16 = false;
#endif

// x rounded to a number that tf32 has, 11 bits and float32's exponent; halves away from zero. From sm_80 on.
__device__ inline unsigned tf32(float x CUEMU_CALLER) {
#ifdef CUEMU
  return cuemu::tf32(x, where);
#else
  unsigned rounded = 0;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
#else
  __trap();
#endif
  return rounded;
#endif
}

// d [16, 8] += a [16, 8] b [8, 8] by a warp, tf32 (the bits of a float32 whose last 13 are 0), sums in float32. From sm_80 on.
//   a[0] = A[g][t]    a[1] = A[g + 8][t]    a[2] = A[g][t + 4]    a[3] = A[g + 8][t + 4]
//   b[0] = B[t][g]    b[1] = B[t + 4][g]    d as above
__device__ inline void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2] CUEMU_CALLER) {
#ifdef CUEMU
  cuemu::mma_m16n8k8_tf32(d, a, b, where);
#elif __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// Loads n = 1, 2 or 4 matrices of 8 x 8 16-bit numbers from shared memory. Lane 8 j + i has the address of row i of matrix j,
// aligned to 16 bytes; other lanes' addresses are not used. Lane l gets numbers 2 (l % 4) and the next of row l / 4;
// transposed: of column l / 4.
template <int n, bool transposed = false>
__device__ inline void ldmatrix(unsigned (&r)[n], const void* row CUEMU_CALLER) {
  static_assert(n == 1 || n == 2 || n == 4);
#ifdef CUEMU
  cuemu::ldmatrix(r, transposed, row, where);
#else
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (n == 1 && !transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at) : "memory");
  } else if constexpr (n == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at) : "memory");
  } else if constexpr (n == 2 && !transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(at) : "memory");
  } else if constexpr (n == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(at) : "memory");
  } else if constexpr (!transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  }
#endif
}

// Copies 4, 8 or 16 bytes from global to shared memory, both aligned to as many; the bytes are there after commit, wait (for
// this thread) and a barrier (for others). An ordinary copy before sm_80.
template <int bytes>
__device__ inline void cp_async(void* shared, const void* global CUEMU_CALLER) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
#ifdef CUEMU
  cuemu::cp_async(shared, global, bytes, where);
#elif __CUDA_ARCH__ >= 800
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(__cvta_generic_to_global(global)) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(__cvta_generic_to_global(global)), "n"(bytes)
                 : "memory");
  }
#else
  using Word = std::conditional_t<bytes == 16, uint4, std::conditional_t<bytes == 8, uint2, unsigned> >;
  *static_cast<Word*>(shared) = *static_cast<const Word*>(global);
#endif
}

// Ends a group of this thread's copies.
__device__ inline void cp_async_commit() {
#ifdef CUEMU
  cuemu::cp_async_commit();
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `pending` of this thread's last groups are not done.
template <int pending>
__device__ inline void cp_async_wait() {
#ifdef CUEMU
  cuemu::cp_async_wait(pending);
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

// Of a kernel launched with LaunchConfig::overlap: until the kernel before has ended and its writes can be seen.
__device__ inline void wait_for_previous_kernel() {
#ifdef CUEMU
  cuemu::wait_for_previous_kernel();
#elif __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel, if launched with overlap, may start once every block has called this or ended.
__device__ inline void let_next_kernel_start() {
#if !defined(CUEMU) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// Both, as kernels of a decode step do: what comes before touches only memory that no kernel writes. All threads of a block get
// here, those that have nothing to do too. A kernel that has got here knows that all before the previous one have ended.
__device__ inline void take_over() {
  wait_for_previous_kernel();
  let_next_kernel_start();
}

// Has the line of 128 bytes at p brought into the second-level cache. What lies there may change meanwhile.
__device__ inline void prefetch([[maybe_unused]] const void* p) {
#ifndef CUEMU
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(p)));
#endif
}

}  // namespace rwkv::cuda
