// SPDX-License-Identifier: Apache-2.0
// How kernels are launched and get shared memory: with ptx.h all that differs between nvcc and tests/cuemu, which compiles
// the same kernels with g++ and runs them on the CPU.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <source_location>
#include <type_traits>

#include "kernels/cuda/check.h"
#include "kernels/cuda/code.h"

namespace rwkv::cuda {

struct LaunchConfig {
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // of DYN_SHARED
  cudaStream_t stream = nullptr;
  // Programmatic dependent launch, sm_90 and later: the kernel may start before the one in front of it has ended, and calls
  // wait_for_previous_kernel() (ptx.h) before it touches what that one reads or writes.
  bool overlap = false;
  std::source_location where = std::source_location::current();
};

// Whether kernels on the current device can do that. Code for older cards has no instruction that waits, whatever the device.
inline bool can_overlap() { return code_capability() >= 90; }

// launch({grid, block}, kernel<64>, arguments...): arguments are converted to the kernel's parameters.
template <class... Parameters, class... Arguments>
void launch(const LaunchConfig& config, void (*kernel)(Parameters...), Arguments... arguments) {
#ifdef CUEMU
  check(cuemu::launch({config.grid, config.block, config.shared_bytes, config.overlap, config.where}, config.stream, kernel,
                      static_cast<std::decay_t<Parameters>>(arguments)...),
        config.where);
#else
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t launch{};
  launch.gridDim = config.grid;
  launch.blockDim = config.block;
  launch.dynamicSmemBytes = config.shared_bytes;
  launch.stream = config.stream;
  launch.attrs = &overlap;
  launch.numAttrs = config.overlap ? 1 : 0;
  check(cudaLaunchKernelEx(&launch, kernel, static_cast<std::decay_t<Parameters>>(arguments)...), config.where);
#endif
}

}  // namespace rwkv::cuda

// SHARED_ARRAY(float, part, [2][8]) declares float part[2][8] in shared memory, aligned to 16 bytes; DYN_SHARED(half, x) a
// half* to the LaunchConfig's shared_bytes. Neither is initialised. The emulator refuses __shared__ itself.
#ifdef CUEMU
#define SHARED_ARRAY(type, name, dimensions)                   \
  using name##_shared = std::type_identity_t<type> dimensions; \
  static const char name##_key = 0;                            \
  name##_shared& name = *static_cast<name##_shared*>(cuemu::shared_array(&name##_key, sizeof(name##_shared)))
#define DYN_SHARED(type, name) type* const name = static_cast<type*>(cuemu::dynamic_shared())
#else
#define SHARED_ARRAY(type, name, dimensions) __shared__ __align__(16) type name dimensions
#define DYN_SHARED(type, name)                                       \
  extern __shared__ __align__(16) unsigned char dyn_shared_memory[]; \
  type* const name = reinterpret_cast<type*>(dyn_shared_memory)
#endif

// Before a loop whose count is known: arrays that it indexes stay in registers.
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define UNROLL_PRAGMA(text) _Pragma(#text)
#define UNROLL_BY(n) UNROLL_PRAGMA(unroll n)
#else
#define UNROLL
#define UNROLL_BY(n)
#endif
