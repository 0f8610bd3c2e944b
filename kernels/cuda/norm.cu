// SPDX-License-Identifier: Apache-2.0
// LayerNorm of the stream and of the embedding, and the head norm after WKV (formulas and shapes: kernels/kernels.h). A block
// takes a row, a warp takes a head; either is read from memory once and twice more from the first-level cache. Bytes moved: of
// a row 4 n read (embed: 4 n or 2 n) and 4 n written, of heads 4 n more with a gate. Estimated, not measured: 80 % of the
// bandwidth for many rows; for one row the latency of three dependent passes, 3 us.
#include "kernels/cuda/norm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// The sum over a block of kThreads, in every thread. part: [kWarps], shared, for this sum alone.
__device__ float block_sum(float x, float* part) {
  const int lane = threadIdx.x % 32;
  x = warp_sum(x);
  if (lane == 0) part[threadIdx.x / 32] = x;
  __syncthreads();
  return warp_sum(lane < kWarps ? part[lane] : 0.0f);
}

__device__ float widen(float x) { return x; }
__device__ float widen(__half x) { return __half2float(x); }
__device__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

// out = (x - mean) / sqrt(variance + eps) weight + bias by a block; x and out [n], may be the same. part: as of block_sum,
// twice.
template <class T>
__device__ void normalise_row(const T* x, std::int64_t n, const float* weight, const float* bias, float eps, float* out,
                              float (&part)[2][kWarps]) {
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) sum += widen(x[i]);
  const float mean = block_sum(sum, part[0]) / static_cast<float>(n);
  float squares = 0.0f;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) squares += (widen(x[i]) - mean) * (widen(x[i]) - mean);
  const float scale = rsqrtf(block_sum(squares, part[1]) / static_cast<float>(n) + eps);
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) out[i] = (widen(x[i]) - mean) * scale * weight[i] + bias[i];
}

__global__ void __launch_bounds__(kThreads) layer_norm_kernel(const float* x, const std::int32_t* rows, std::int64_t n,
                                                              const float* weight, const float* bias, float eps, float* out) {
  SHARED_ARRAY(float, part, [2][kWarps]);
  take_over();
  const std::int64_t row = rows ? rows[blockIdx.x] : std::int64_t{blockIdx.x};
  normalise_row(x + row * n, n, weight, bias, eps, out + blockIdx.x * n, part);
}

template <class T>
__global__ void __launch_bounds__(kThreads) embed_kernel(const std::int32_t* tokens, const void* table, std::int64_t n,
                                                         const float* weight, const float* bias, float eps, float* out) {
  SHARED_ARRAY(float, part, [2][kWarps]);
  take_over();
  const T* const x = static_cast<const T*>(table) + tokens[blockIdx.x] * n;
  normalise_row(x, n, weight, bias, eps, out + blockIdx.x * n, part);
}

// A warp: head `head` of all rows' heads, counted row by row. n: values of a head; x and out may be the same.
__global__ void __launch_bounds__(kThreads)
    head_norm_kernel(const float* x, std::int64_t n_row, std::int64_t n_head, std::int64_t n, const float* weight,
                     const float* bias, float eps, const float* gate, float* out) {
  const std::int64_t head = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  take_over();
  if (head >= n_row * n_head) return;  // with its whole warp
  const int lane = threadIdx.x % 32;
  x += head * n;
  out += head * n;
  weight += head % n_head * n;
  bias += head % n_head * n;
  if (gate) gate += head * n;
  float sum = 0.0f;
  for (std::int64_t i = lane; i < n; i += 32) sum += x[i];
  const float mean = warp_sum(sum) / static_cast<float>(n);
  float squares = 0.0f;
  for (std::int64_t i = lane; i < n; i += 32) squares += (x[i] - mean) * (x[i] - mean);
  const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(n) + eps);
  for (std::int64_t i = lane; i < n; i += 32) {
    const float y = (x[i] - mean) * scale * weight[i] + bias[i];
    out[i] = gate ? y * gate[i] : y;
  }
}

}  // namespace

void layer_norm(cudaStream_t stream, const LayerNorm& op) {
  const dim3 grid(static_cast<unsigned>(op.out.n_row));
  launch({grid, kThreads, 0, stream, can_overlap()}, layer_norm_kernel, op.x.data, op.rows, op.x.n_col, op.weight, op.bias,
         op.eps, op.out.data);
}

void embed(cudaStream_t stream, const Embed& op) {
  const dim3 grid(static_cast<unsigned>(op.out.n_row));
  auto* const kernel = op.table.type == DType::f32   ? embed_kernel<float>
                       : op.table.type == DType::f16 ? embed_kernel<__half>
                                                     : embed_kernel<__nv_bfloat16>;
  launch({grid, kThreads, 0, stream, can_overlap()}, kernel, op.tokens, op.table.data, op.table.n_in, op.weight, op.bias,
         op.eps, op.out.data);
}

void head_norm(cudaStream_t stream, const HeadNorm& op) {
  const dim3 grid(static_cast<unsigned>((op.x.n_row * op.n_head + kWarps - 1) / kWarps));
  launch({grid, kThreads, 0, stream, can_overlap()}, head_norm_kernel, op.x.data, op.x.n_row, op.n_head, op.x.n_col / op.n_head,
         op.weight, op.bias, op.eps, op.gate, op.out.data);
}

}  // namespace rwkv::cuda
