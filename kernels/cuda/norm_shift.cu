// SPDX-License-Identifier: Apache-2.0
// LayerNorm with token shift (formula and shapes: kernels/kernels.h). A block has a row, or of few rows a part of its channels:
// it finds mean and deviation of the row and of the one that it is mixed with, and mixes 4 neighbouring channels per thread (1
// where they are not aligned) for all outputs. Bytes moved: x once, and once more from the second-level cache for the row
// after; each output once; nothing between norm and shift. One row of 2,048 channels with 6 outputs: 2 blocks, 130 KB, bound by
// the latency of three loads that wait for each other, an estimated 2 us. Many rows: by writing, an estimated 85 % of the
// bandwidth. 64 registers (sm_75 to 90): four blocks to a multiprocessor.
#include "kernels/cuda/norm_shift.h"

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kKept = 4;      // packs of a row that a thread keeps in registers: of 4,096 channels all
constexpr int kFewRows = 64;  // so many have a block for each 4 kThreads channels

// A kernel's parameters.
struct Shifts {
  const float *x, *weight, *bias;
  float eps;
  int n;  // channels
  const std::int32_t* offsets;
  std::int64_t n_seq;
  float* const* last_x;
  float* difference;  // or null
  std::int64_t n_output;
  NormShift::Output output[kMostShifts];
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

struct Moments {
  float mean, scale;  // scale: 1 / sqrt(variance + eps)
};

// Of `rows` rows together, by a block.
template <int rows, int width>
__device__ void find_moments(const float* const (&x)[rows], int n, float eps, Moments (&m)[rows]) {
  SHARED_ARRAY(float, part, [2][rows][kWarps]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  Pack<width> kept[rows][kKept];
  const auto for_packs = [&](const auto& body) {
    UNROLL for (int k = 0; k < kKept; ++k) {
      if ((k * kThreads + thread) * width >= n) continue;
      UNROLL for (int r = 0; r < rows; ++r) body(r, kept[r][k]);
    }
    for (int c = (kKept * kThreads + thread) * width; c < n; c += kThreads * width) {
      UNROLL for (int r = 0; r < rows; ++r) body(r, pack<width>(x[r] + c));
    }
  };
  UNROLL for (int k = 0; k < kKept; ++k) {
    const int c = (k * kThreads + thread) * width;
    if (c >= n) continue;
    UNROLL for (int r = 0; r < rows; ++r) kept[r][k] = pack<width>(x[r] + c);
  }
  float sum[rows] = {};
  for_packs([&](int r, const Pack<width>& values) {
    for (int i = 0; i < width; ++i) sum[r] += values.at[i];
  });
  const auto block_sums = [&](float(&of_warp)[rows][kWarps]) {
    UNROLL for (int r = 0; r < rows; ++r) {
      sum[r] = warp_sum(sum[r]);
      if (lane == 0) of_warp[r][warp] = sum[r];
    }
    __syncthreads();
    UNROLL for (int r = 0; r < rows; ++r) sum[r] = warp_sum(lane < kWarps ? of_warp[r][lane] : 0.0f);
  };
  block_sums(part[0]);
  UNROLL for (int r = 0; r < rows; ++r) m[r].mean = sum[r] / static_cast<float>(n), sum[r] = 0.0f;
  for_packs([&](int r, const Pack<width>& values) {
    for (int i = 0; i < width; ++i) sum[r] += (values.at[i] - m[r].mean) * (values.at[i] - m[r].mean);
  });
  block_sums(part[1]);
  UNROLL for (int r = 0; r < rows; ++r) m[r].scale = rsqrtf(sum[r] / static_cast<float>(n) + eps);
}

template <int width>
__device__ Pack<width> normed(const Pack<width>& x, const Moments& m, const Pack<width>& weight, const Pack<width>& bias) {
  Pack<width> h;
  for (int i = 0; i < width; ++i) h.at[i] = (x.at[i] - m.mean) * m.scale * weight.at[i] + bias.at[i];
  return h;
}

// The other row is the one before; for the first row of a sequence the last one: the thread that reads a channel of last_x is
// the one that replaces it.
template <int width>
__global__ void __launch_bounds__(kThreads) norm_shift_kernel(const __grid_constant__ Shifts op) {
  const int n = op.n, step = static_cast<int>(gridDim.y) * kThreads * width;
  const int begin = (static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x)) * width;
  for (int c = begin; c < n; c += step) {
    if (c % 32 != 0) continue;
    prefetch(op.weight + c), prefetch(op.bias + c);
    for (std::int64_t o = 0; o < op.n_output; ++o) {
      if (op.output[o].mu) prefetch(op.output[o].mu + c);
    }
  }
  take_over();
  const std::int64_t row = blockIdx.x, seq = sequence_of(row, op.offsets, op.n_seq);
  const bool first = op.offsets[seq] == row;
  const std::int64_t other_row = first ? op.offsets[seq + 1] - 1 : row - 1;
  const float *const x = op.x + row * n, *const other = op.x + other_row * n;
  Moments m, of_other;
  if (other_row == row) {
    const float* const rows[] = {x};
    Moments found[1];
    find_moments<1, width>(rows, n, op.eps, found);
    m = of_other = found[0];
  } else {
    const float* const rows[] = {x, other};
    Moments found[2];
    find_moments<2, width>(rows, n, op.eps, found);
    m = found[0], of_other = found[1];
  }
  for (int c = begin; c < n; c += step) {
    const Pack<width> weight = pack<width>(op.weight + c), bias = pack<width>(op.bias + c);
    const Pack<width> h = normed(pack<width>(x + c), m, weight, bias);
    Pack<width> before = normed(pack<width>(other + c), of_other, weight, bias);
    if (first) {
      const Pack<width> remembered = before;
      before = load_any<width>(op.last_x[seq] + c);
      store_any(op.last_x[seq] + c, remembered);
    }
    Pack<width> difference;
    for (int i = 0; i < width; ++i) difference.at[i] = before.at[i] - h.at[i];
    if (op.difference) pack<width>(op.difference + row * n + c) = difference;
    for (std::int64_t o = 0; o < op.n_output; ++o) {
      Pack<width> y = h;
      if (op.output[o].mu) {
        const Pack<width> mu = pack<width>(op.output[o].mu + c);
        for (int i = 0; i < width; ++i) y.at[i] += mu.at[i] * difference.at[i];
      }
      pack<width>(op.output[o].out + row * n + c) = y;
    }
  }
}

template <int width>
void launch_norm_shift(cudaStream_t stream, std::int64_t n_row, const Shifts& op) {
  const int slices = n_row <= kFewRows ? divided_up(op.n, kThreads * width) : 1;
  const dim3 grid(static_cast<unsigned>(n_row), static_cast<unsigned>(slices));
  launch({grid, kThreads, 0, stream, can_overlap()}, norm_shift_kernel<width>, op);
}

}  // namespace

void norm_shift(cudaStream_t stream, const Batch& batch, const NormShift& op) {
  Shifts shifts{};
  shifts.x = op.x.data, shifts.weight = op.weight, shifts.bias = op.bias, shifts.eps = op.eps;
  shifts.n = static_cast<int>(op.x.n_col), shifts.offsets = batch.offsets, shifts.n_seq = batch.n_seq;
  shifts.last_x = op.last_x, shifts.difference = op.difference;
  shifts.n_output = static_cast<std::int64_t>(op.outputs.size());
  std::ranges::copy(op.outputs, shifts.output);
  constexpr int kWidth = 4;
  const float* const all[] = {op.x.data, op.weight, op.bias, op.difference};
  const auto wide = [](const float* p) { return aligned<kWidth>(p); };
  if (op.x.n_col % kWidth == 0 && std::ranges::all_of(all, wide) &&
      std::ranges::all_of(op.outputs, [&](const auto& o) { return wide(o.mu) && wide(o.out); })) {
    launch_norm_shift<kWidth>(stream, op.x.n_row, shifts);
  } else {
    launch_norm_shift<1>(stream, op.x.n_row, shifts);
  }
}

}  // namespace rwkv::cuda
