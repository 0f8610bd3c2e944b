// SPDX-License-Identifier: Apache-2.0
// Every call of the CUDA runtime goes through check().
#pragma once
#include <cuda_runtime.h>

#include <source_location>
#include <string>

#include "rwkv/error.h"

namespace rwkv::cuda {

inline void check(cudaError_t error, const std::source_location& where = std::source_location::current()) {
  if (error == cudaSuccess) return;
  const std::string message = std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " +
                              cudaGetErrorName(error) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemoryError(message);
  throw DeviceError(message);
}

}  // namespace rwkv::cuda
