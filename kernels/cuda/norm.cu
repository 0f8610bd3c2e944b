// SPDX-License-Identifier: Apache-2.0
// LayerNorm of the stream (formula and shapes: kernels/kernels.h). A block takes a row, which it reads from memory once and
// twice more from the first-level cache. Bound by traffic: 2 floats per value.
#include "kernels/cuda/norm.h"

#include "kernels/cuda/launch.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

__device__ float warp_sum(float x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

// The sum over a block of kThreads, in every thread. part: [kWarps], shared, for this sum alone.
__device__ float block_sum(float x, float* part) {
  const int lane = threadIdx.x % 32;
  x = warp_sum(x);
  if (lane == 0) part[threadIdx.x / 32] = x;
  __syncthreads();
  return warp_sum(lane < kWarps ? part[lane] : 0.0f);
}

__global__ void __launch_bounds__(kThreads)
    layer_norm_kernel(const float* x, std::int64_t n, const float* weight, const float* bias, float eps, float* out) {
  SHARED_ARRAY(float, part, [2][kWarps]);
  x += blockIdx.x * n;
  out += blockIdx.x * n;
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) sum += x[i];
  const float mean = block_sum(sum, part[0]) / static_cast<float>(n);
  float squares = 0.0f;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) squares += (x[i] - mean) * (x[i] - mean);
  const float scale = rsqrtf(block_sum(squares, part[1]) / static_cast<float>(n) + eps);
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

}  // namespace

void layer_norm(cudaStream_t stream, const LayerNorm& op) {
  const dim3 grid(static_cast<unsigned>(op.x.n_row));
  launch({grid, kThreads, 0, stream}, layer_norm_kernel, op.x.data, op.x.n_col, op.weight, op.bias, op.eps, op.out.data);
}

}  // namespace rwkv::cuda
