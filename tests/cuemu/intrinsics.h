// SPDX-License-Identifier: Apache-2.0
// Functions that the toolkit's headers give to device code only: memory, atomics, integers, float and 16-bit arithmetic. Fast
// variants (__expf, rsqrtf ...) are exact here: tests need the tolerance of the GPU's.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuemu/core.h"

// Memory. Misaligned accesses are UBSan's.
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldca(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
void __stcg(T* p, T value) {
  *p = value;
}
inline void __threadfence() { cuemu::fence(); }
inline void __threadfence_block() { cuemu::fence(); }

// Atomics order no memory.
namespace cuemu {
template <class T, class Next>
T atomic(T* p, Next next) {
  using Bits =
      std::conditional_t<sizeof(T) == 8, std::uint64_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;
  static_assert(sizeof(T) == sizeof(Bits));
  auto* const at = reinterpret_cast<Bits*>(p);
  Bits found = __atomic_load_n(at, __ATOMIC_RELAXED), wanted;
  T old;
  do {
    std::memcpy(static_cast<void*>(&old), &found, sizeof old);
    const T value = next(old);
    std::memcpy(&wanted, &value, sizeof wanted);
  } while (!__atomic_compare_exchange_n(at, &found, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
}  // namespace cuemu

// The second argument is converted to the type of the first, as the overloads of CUDA do.
template <class T>
T atomicAdd(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) -> T {
    if constexpr (std::is_same_v<T, int>)
      return static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(v));
    else if constexpr (std::is_same_v<T, __half2> || std::is_same_v<T, __nv_bfloat162>)
      return __hadd2(old, v);
    else if constexpr (std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>)
      return __hadd(old, v);
    else
      return old + v;
  });
}
template <class T>
T atomicSub(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) -> T { return old - v; });
}
template <class T>
T atomicMin(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) { return v < old ? v : old; });
}
template <class T>
T atomicMax(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) { return v > old ? v : old; });
}
template <class T>
T atomicAnd(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) { return old & v; });
}
template <class T>
T atomicOr(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) { return old | v; });
}
template <class T>
T atomicXor(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) { return old ^ v; });
}
template <class T>
T atomicExch(T* p, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T) { return v; });
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return cuemu::atomic(p, [=](T old) { return old == expected ? v : old; });
}
inline unsigned atomicInc(unsigned* p, unsigned last) {
  return cuemu::atomic(p, [=](unsigned old) { return old >= last ? 0u : old + 1u; });
}
inline unsigned atomicDec(unsigned* p, unsigned first) {
  return cuemu::atomic(p, [=](unsigned old) { return old == 0u || old > first ? first : old - 1u; });
}

// Floats.
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __exp10f(float x) { return std::pow(10.0f, x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __tanhf(float x) { return std::tanh(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }  // NaN: 0
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }

// To integers: beyond their range the nearest one, NaN: 0.
namespace cuemu {
template <class To>
To to_integer(double x) {
  constexpr double kFirst = std::is_signed_v<To> ? -0x1p31 : 0.0, kLast = std::is_signed_v<To> ? 0x1p31 - 1 : 0x1p32 - 1;
  return std::isnan(x) ? To{0} : static_cast<To>(std::fmin(std::fmax(x, kFirst), kLast));
}
}  // namespace cuemu
inline int __float2int_rn(float x) { return cuemu::to_integer<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return cuemu::to_integer<int>(std::trunc(x)); }
inline int __float2int_rd(float x) { return cuemu::to_integer<int>(std::floor(x)); }
inline int __float2int_ru(float x) { return cuemu::to_integer<int>(std::ceil(x)); }
inline unsigned __float2uint_rn(float x) { return cuemu::to_integer<unsigned>(std::nearbyint(x)); }
inline unsigned __float2uint_rz(float x) { return cuemu::to_integer<unsigned>(std::trunc(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }

// Integers.
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}
inline int __mulhi(int x, int y) { return static_cast<int>(std::int64_t{x} * y >> 32); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(std::uint64_t{x} * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64);
}
inline unsigned __funnelshift_l(unsigned lower, unsigned upper, unsigned n) {
  return static_cast<unsigned>(((std::uint64_t{upper} << 32 | lower) << (n & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned lower, unsigned upper, unsigned n) {
  return static_cast<unsigned>((std::uint64_t{upper} << 32 | lower) >> (n & 31));
}
// The lower three bits of each nibble of the selector name one of 8 bytes.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned which = selector >> (4 * i) & 7u;
    result |= (static_cast<unsigned>(bytes >> (8 * which)) & 0xffu) << (8 * i);
  }
  return result;
}
namespace cuemu {
template <class Byte, class Word>
Word dot4(Word a, Word b, Word sum) {
  auto result = static_cast<unsigned>(sum);
  for (int i = 0; i < 32; i += 8) {
    result += static_cast<unsigned>(static_cast<Byte>(static_cast<unsigned>(a) >> i) *
                                    static_cast<Byte>(static_cast<unsigned>(b) >> i));
  }
  return static_cast<Word>(result);
}
}  // namespace cuemu
inline int __dp4a(int a, int b, int sum) { return cuemu::dot4<std::int8_t>(a, b, sum); }
inline unsigned __dp4a(unsigned a, unsigned b, unsigned sum) { return cuemu::dot4<std::uint8_t>(a, b, sum); }

#define CUEMU_MIN_MAX(type)                                 \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
CUEMU_MIN_MAX(int)
CUEMU_MIN_MAX(unsigned)
CUEMU_MIN_MAX(long)
CUEMU_MIN_MAX(unsigned long)
CUEMU_MIN_MAX(long long)
CUEMU_MIN_MAX(unsigned long long)
#undef CUEMU_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

// 16 bits. The product of two is exact in double, and so is its sum with a third but for exponents far apart, where the
// smaller one cannot change the rounding to 16 bits except exactly half-way.
inline __half __hfma(__half a, __half b, __half c) {
  return __double2half(std::fma(double{__half2float(a)}, double{__half2float(b)}, double{__half2float(c)}));
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
  return {__hfma(__low2half(a), __low2half(b), __low2half(c)), __hfma(__high2half(a), __high2half(b), __high2half(c))};
}
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return __double2bfloat16(std::fma(double{__bfloat162float(a)}, double{__bfloat162float(b)}, double{__bfloat162float(c)}));
}
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
  return {__hfma(__low2bfloat16(a), __low2bfloat16(b), __low2bfloat16(c)),
          __hfma(__high2bfloat16(a), __high2bfloat16(b), __high2bfloat16(c))};
}
#define CUEMU_HALF_FUNCTION(name, f)                                                                 \
  inline __half h##name(__half x) { return __float2half(f(__half2float(x))); }                       \
  inline __nv_bfloat16 h##name(__nv_bfloat16 x) { return __float2bfloat16(f(__bfloat162float(x))); } \
  inline __half2 h2##name(__half2 x) { return {h##name(__low2half(x)), h##name(__high2half(x))}; }   \
  inline __nv_bfloat162 h2##name(__nv_bfloat162 x) { return {h##name(__low2bfloat16(x)), h##name(__high2bfloat16(x))}; }
CUEMU_HALF_FUNCTION(exp, std::exp)
CUEMU_HALF_FUNCTION(exp2, std::exp2)
CUEMU_HALF_FUNCTION(log, std::log)
CUEMU_HALF_FUNCTION(sqrt, std::sqrt)
CUEMU_HALF_FUNCTION(rsqrt, rsqrtf)
CUEMU_HALF_FUNCTION(rcp, __frcp_rn)
#undef CUEMU_HALF_FUNCTION
inline int __half2int_rn(__half x) { return __float2int_rn(__half2float(x)); }
