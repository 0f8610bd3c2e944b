// SPDX-License-Identifier: Apache-2.0
// Tests of CUDA itself: they hold on a GPU and must hold on the emulator. Nothing of it is used here.
#pragma once
#include <gtest/gtest.h>

#include <vector>

#include "cuda/device_array.h"
#include "kernels/cuda/launch.h"

namespace rwkv::test {

inline constexpr unsigned kAll = 0xffffffffu;

using cuda::check;
using cuda::launch;

// 75 for compute capability 7.5, of the code that the current device runs.
inline int sm() { return cuda::code_capability(); }

// What a kernel that takes an array alone writes into n elements, with blocks of `threads`.
template <class T>
std::vector<T> run(void (*kernel)(T*), int n, int threads, int blocks = 1) {
  const DeviceArray<T> out(n);
  check(cudaMemset(out.data(), 0, n * sizeof(T)));
  launch({dim3(blocks), dim3(threads)}, kernel, out.data());
  return out.values();
}

}  // namespace rwkv::test
