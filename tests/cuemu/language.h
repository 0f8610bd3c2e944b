// SPDX-License-Identifier: Apache-2.0
// The language that nvcc adds to C++: built-in variables, and launching a kernel.
#pragma once
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

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

// Checks the launch and puts it into the stream.
template <class... Parameters>
cudaError_t launch(const Launch& launch, cudaStream_t stream, void (*kernel)(Parameters...),
                   std::decay_t<Parameters>... arguments) {
  using Arguments = std::tuple<std::decay_t<Parameters>...>;
  struct Call {
    void (*kernel)(Parameters...);
    Arguments arguments;
  };
  Call call{kernel, Arguments(arguments...)};
  const auto check = [call] {
    std::string wrong;
    int i = 0;
    const auto check_one = [&](const auto& argument) {
      using T = std::decay_t<decltype(argument)>;
      std::string what = check_argument(&argument, sizeof argument, std::is_pointer_v<T>);
      if (wrong.empty() && !what.empty()) wrong = "argument " + std::to_string(i) + " " + what;
      ++i;
    };
    std::apply([&](const auto&... argument) { (check_one(argument), ...); }, call.arguments);
    return wrong;
  };
  const auto run = [launch, call]() mutable {
    return run_grid(
        launch,
        [](void* p) {
          // Every thread gets its own copy, as parameters are.
          auto* const c = static_cast<Call*>(p);
          std::apply(c->kernel, c->arguments);
        },
        &call);
  };
  return enqueue(launch, stream, reinterpret_cast<const void*>(kernel), run, check);
}

}  // namespace cuemu
