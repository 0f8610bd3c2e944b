// SPDX-License-Identifier: Apache-2.0
// The language that nvcc adds to C++: built-in variables, and launching a kernel.
#pragma once
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <type_traits>

#include "cuemu/core.h"

// The toolkit's headers make the other qualifiers empty for g++.
#undef __global__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static_assert(false, "use SHARED_ARRAY or DYN_SHARED of kernels/cuda/launch.h");

// Of the CUDA thread that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace cuemu {

// What lies between the members of a structure must not look like an address.
template <class T>
void clear_padding([[maybe_unused]] T& argument) {
#if __has_builtin(__builtin_clear_padding)
  if constexpr (std::is_class_v<T>) __builtin_clear_padding(&argument);
#endif
}

template <class... Parameters>
struct KernelCall {
  void (*kernel)(Parameters...);
  std::tuple<std::decay_t<Parameters>...> arguments;

  // Every thread gets its own copy, as parameters are.
  static void run(void* p) {
    const auto* const call = static_cast<KernelCall*>(p);
    std::apply(call->kernel, call->arguments);
  }
  static std::string check(void* p) {
    std::string wrong;
    int i = 0;
    const auto check_one = [&]<class T>(const T& argument) {
      const std::string what = check_argument(&argument, sizeof argument, std::is_pointer_v<T>);
      if (wrong.empty() && !what.empty()) wrong = "argument " + std::to_string(i) + " " + what;
      ++i;
    };
    std::apply([&](const auto&... argument) { (check_one(argument), ...); }, static_cast<KernelCall*>(p)->arguments);
    return wrong;
  }
};

// Checks the launch and puts it into the stream.
template <class... Parameters>
cudaError_t launch(const Launch& launch, cudaStream_t stream, void (*kernel)(Parameters...),
                   std::decay_t<Parameters>... arguments) {
  using Kernel = KernelCall<Parameters...>;
  (clear_padding(arguments), ...);
  auto call = std::make_shared<Kernel>(Kernel{kernel, {arguments...}});
  return enqueue(launch, stream, {reinterpret_cast<const void*>(kernel), Kernel::run, Kernel::check, std::move(call)});
}

}  // namespace cuemu
