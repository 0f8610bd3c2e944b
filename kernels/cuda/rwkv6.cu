// SPDX-License-Identifier: Apache-2.0
// RWKV-6's decay (formula: kernels/rwkv6.h). A thread takes a number: 4 bytes read, 4 written.
#include "kernels/cuda/rwkv6.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads) decay_kernel(float* z, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  take_over();
  if (i < n) z[i] = expf(-expf(z[i]));
}

}  // namespace

void decay(cudaStream_t stream, Rows z) {
  const std::int64_t n = z.n_row * z.n_col;
  launch({static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, 0, stream, can_overlap()}, decay_kernel, z.data, n);
}

}  // namespace rwkv::cuda
