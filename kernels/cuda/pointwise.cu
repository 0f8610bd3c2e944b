// SPDX-License-Identifier: Apache-2.0
// Token shift (formula and shapes: kernels/kernels.h) and RWKV-6's decay (kernels/rwkv6.h). A thread takes 4 neighbouring
// channels of a row (1 where they are not aligned) for all outputs. Bytes moved: x once (the row before comes from the
// second-level cache), each output once. Estimated, not measured: 85 % of the bandwidth for many rows; for one the latency of
// two loads, 2 us.
#include "kernels/cuda/pointwise.h"

#include <algorithm>

#include "kernels/cuda/launch.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMostOutputs = 8;  // of a launch; RWKV-7 has 6

struct Outputs {
  TokenShift::Output at[kMostOutputs];
  std::int64_t n;
};

template <int width>
struct alignas(width * sizeof(float)) Pack {
  float at[width];
};

template <int width>
__host__ __device__ bool aligned(const float* p) {
  return reinterpret_cast<std::uintptr_t>(p) % sizeof(Pack<width>) == 0;
}

template <int width>
__device__ Pack<width>& pack(float* p) {
  return *reinterpret_cast<Pack<width>*>(p);
}
template <int width>
__device__ const Pack<width>& pack(const float* p) {
  return *reinterpret_cast<const Pack<width>*>(p);
}

// Where it is not known whether p is aligned.
template <int width>
__device__ Pack<width> load_any(const float* p) {
  if (aligned<width>(p)) return pack<width>(p);
  Pack<width> values;
  for (int i = 0; i < width; ++i) values.at[i] = p[i];
  return values;
}
template <int width>
__device__ void store_any(float* p, const Pack<width>& values) {
  if (aligned<width>(p)) {
    pack<width>(p) = values;
  } else {
    for (int i = 0; i < width; ++i) p[i] = values.at[i];
  }
}

// The sequence of a row; the first guess is right for one sequence, and for one row each.
__device__ std::int64_t sequence_of(std::int64_t row, const std::int32_t* offsets, std::int64_t n_seq) {
  const std::int64_t guess = row < n_seq ? row : n_seq - 1;
  if (offsets[guess] <= row && row < offsets[guess + 1]) return guess;
  std::int64_t low = 0, high = n_seq;  // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

// The thread that reads a channel of last_x, for the first row of a sequence, is the one that replaces it.
template <int width>
__global__ void __launch_bounds__(kThreads)
    token_shift_kernel(const float* x, std::int64_t n, const std::int32_t* offsets, std::int64_t n_seq, float* const* last_x,
                       Outputs outputs, bool remember) {
  const std::int64_t row = blockIdx.x, c = (std::int64_t{blockIdx.y} * kThreads + threadIdx.x) * width;
  if (c >= n) return;
  const std::int64_t seq = sequence_of(row, offsets, n_seq);
  const bool first = offsets[seq] == row;
  const Pack<width> now = pack<width>(x + row * n + c);
  const Pack<width> before = first ? load_any<width>(last_x[seq] + c) : pack<width>(x + (row - 1) * n + c);
  if (first && remember) store_any(last_x[seq] + c, pack<width>(x + (offsets[seq + 1] - 1) * n + c));
  for (std::int64_t o = 0; o < outputs.n; ++o) {
    const TokenShift::Output& output = outputs.at[o];
    Pack<width> mix = pack<width>(output.mu + c), y;
    if (output.mu_row) {
      const Pack<width> more = pack<width>(output.mu_row + row * n + c);
      for (int i = 0; i < width; ++i) mix.at[i] += more.at[i];
    }
    for (int i = 0; i < width; ++i) y.at[i] = now.at[i] + mix.at[i] * (before.at[i] - now.at[i]);
    pack<width>(output.out + row * n + c) = y;
  }
}

__global__ void __launch_bounds__(kThreads) decay_kernel(float* z, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) z[i] = expf(-expf(z[i]));
}

unsigned blocks(std::int64_t n) { return static_cast<unsigned>((n + kThreads - 1) / kThreads); }

template <int width>
void launch_token_shift(cudaStream_t stream, const Batch& batch, const TokenShift& op, const Outputs& outputs, bool remember) {
  const dim3 grid(static_cast<unsigned>(op.x.n_row), blocks(op.x.n_col / width));
  launch({grid, kThreads, 0, stream}, token_shift_kernel<width>, op.x.data, op.x.n_col, batch.offsets, batch.n_seq, op.last_x,
         outputs, remember);
}

}  // namespace

void token_shift(cudaStream_t stream, const Batch& batch, const TokenShift& op) {
  constexpr int kWidth = 4;
  const bool wide = op.x.n_col % kWidth == 0 && aligned<kWidth>(op.x.data) && std::ranges::all_of(op.outputs, [](auto& output) {
                      return aligned<kWidth>(output.mu) && aligned<kWidth>(output.out) && aligned<kWidth>(output.mu_row);
                    });
  for (std::size_t first = 0; first < op.outputs.size(); first += kMostOutputs) {
    const auto some = op.outputs.subspan(first, std::min<std::size_t>(kMostOutputs, op.outputs.size() - first));
    Outputs outputs{{}, static_cast<std::int64_t>(some.size())};
    std::ranges::copy(some, outputs.at);
    const bool remember = op.remember && first + some.size() == op.outputs.size();
    wide ? launch_token_shift<kWidth>(stream, batch, op, outputs, remember)
         : launch_token_shift<1>(stream, batch, op, outputs, remember);
  }
}

void decay(cudaStream_t stream, Rows z) {
  const std::int64_t n = z.n_row * z.n_col;
  launch({blocks(n), kThreads, 0, stream}, decay_kernel, z.data, n);
}

}  // namespace rwkv::cuda
