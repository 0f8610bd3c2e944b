// SPDX-License-Identifier: Apache-2.0
// WKV of RWKV-4 (formula and shapes: kernels/rwkv4.h). A thread takes a channel of a sequence; aa, bb and pp stay in registers
// for all tokens, of which 8 are loaded while 8 are computed. Traffic: 4 floats per channel and token, 6 per channel and call.
// sm_75 to 120: 76 to 86 registers of 64 threads, no spills. Estimates, not measured: one token is bound by latency, 2
// us; many tokens of one sequence too, 100 cycles per token; of many sequences by traffic, 80 % of bandwidth.
#include "kernels/cuda/rwkv4.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 64;
constexpr int kTokens = 8;  // that are loaded together, before those ahead of them are computed

struct Weights {
  float of_x, of_y;
};

// e^(x - max(x, y)) and e^(y - max(x, y)): one of them is 1, so one exponential serves both.
__device__ Weights weights(float x, float y) {
  const float less = expf(-fabsf(x - y));
  return x < y ? Weights{less, 1.0f} : Weights{1.0f, less};
}

struct Tokens4 {
  float r[kTokens], k[kTokens], v[kTokens];

  // Of a channel whose first number is at `at`; n: of tokens that there are.
  __device__ void load(const Wkv4& op, std::int64_t at, int n) {
    for (int t = 0; t < kTokens; ++t, at += op.k.n_col) {
      if (t < n) r[t] = op.r.data[at], k[t] = op.k.data[at], v[t] = op.v.data[at];
    }
  }
};

// 8 blocks of a multiprocessor: told nothing, ptxas saves registers and spills for sm_120.
__global__ void __launch_bounds__(kThreads, 8) wkv4_kernel(Batch batch, Wkv4 op) {
  const std::int64_t att = op.k.n_col, channel = std::int64_t{blockIdx.y} * kThreads + threadIdx.x;
  take_over();
  if (channel >= att) return;
  const int n_token = batch.offsets[blockIdx.x + 1] - batch.offsets[blockIdx.x];
  std::int64_t at = batch.offsets[blockIdx.x] * att + channel;
  const float w = op.w[channel], u = op.u[channel];
  float &aa_at = op.aa[blockIdx.x][channel], &bb_at = op.bb[blockIdx.x][channel], &pp_at = op.pp[blockIdx.x][channel];
  float aa = aa_at, bb = bb_at, pp = pp_at;
  Tokens4 next;
  next.load(op, at, n_token);
  for (int left = n_token; left > 0; left -= kTokens) {
    const Tokens4 now = next;
    next.load(op, at + kTokens * att, left - kTokens);
    for (int t = 0; t < kTokens; ++t, at += att) {
      if (t >= left) break;
      const float k = now.k[t], v = now.v[t];
      const auto [past, present] = weights(pp, u + k);
      op.out.data[at] = now.r[t] * (past * aa + present * v) / (past * bb + present);
      const auto [keep, gain] = weights(pp + w, k);
      aa = keep * aa + gain * v;
      bb = keep * bb + gain;
      pp = fmaxf(pp + w, k);  // of a NaN and a number the number; aa and bb are NaN then
    }
  }
  aa_at = aa, bb_at = bb, pp_at = pp;
}

}  // namespace

void wkv4(cudaStream_t stream, const Batch& batch, const Wkv4& op) {
  const dim3 grid(static_cast<unsigned>(batch.n_seq), static_cast<unsigned>((op.k.n_col + kThreads - 1) / kThreads));
  launch({grid, kThreads, 0, stream, can_overlap()}, wkv4_kernel, batch, op);
}

}  // namespace rwkv::cuda
