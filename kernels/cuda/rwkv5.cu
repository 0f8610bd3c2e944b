// SPDX-License-Identifier: Apache-2.0
// Linear attention of RWKV-5 and 6 (formula and shapes: kernels/rwkv5.h). A block takes 32 values of a head with all their
// keys, whose part of the state stays in registers for all tokens; the tokens' numbers come through shared memory while those
// before are computed. Traffic per head: 2 N^2 floats per call, 5 N per token (4 N if all have one decay), and from the
// second-level cache 3 N more for each further block of the head. N = 64, sm_75 / 80 / 90: 104 / 72 / 72 registers of 128
// threads, no spills, 18 KiB shared. Estimates, not measured: one token of many sequences is bound by the state's traffic, 80 %
// of bandwidth; many tokens of one sequence by latency, 110 cycles per token; of many by issue, 640 instructions of a warp per
// token and head.
#include "kernels/cuda/rwkv5.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/state.h"

namespace rwkv::cuda {
namespace {

// A thread has one value's column of kKeys keys in registers; a warp kValues neighbouring values of the same keys.
constexpr int kValues = 32;
constexpr int kKeys = 16;
constexpr int kTokens = 8;  // that are staged together, one vector of an array per thread

template <int kSize>
struct Tile5 {
  static constexpr int kGroups = kSize / kKeys;
  static constexpr int kThreads = kValues * kGroups;
  static_assert(kSize % kValues == 0 && kThreads == kTokens * (kSize / 4));

  struct Stage {  // in shared memory
    float r[kTokens][kSize], w[kTokens][kSize], k[kTokens][kSize];
    float v[kTokens][kValues];
  };

  // n_token rows from `row` on of the head at `channel`, the block's first value being `value`; a group of copies.
  __device__ static void load(Stage& to, const LinearAttention& op, std::int64_t row, std::int64_t channel, int value,
                              int n_token) {
    const int token = threadIdx.x / (kSize / 4), i = threadIdx.x % (kSize / 4) * 4;
    if (token < n_token) {
      const std::int64_t from = (row + token) * op.k.n_col + channel + i;
      cp_async<16>(&to.r[token][i], op.r.data + from);
      cp_async<16>(&to.k[token][i], op.k.data + from);
      cp_async<16>(&to.w[token][i], op.w + (row + token) * op.w_stride + channel + i);
    }
    const int v_token = threadIdx.x / (kValues / 4), j = threadIdx.x % (kValues / 4) * 4;
    if (v_token < min(n_token, kTokens)) {
      cp_async<16>(&to.v[v_token][j], op.v.data + (row + v_token) * op.k.n_col + channel + value + j);
    }
    cp_async_commit();
  }
};

// One key of a column: adds its part of out to y.
__device__ void attend(float& s, float& y, float r, float w, float k, float v, float u) {
  const float kv = k * v;
  y = fmaf(r, fmaf(u, kv, s), y);
  s = fmaf(w, s, kv);
}

template <int kSize>
__global__ void __launch_bounds__(Tile5<kSize>::kThreads) linear_attention_kernel(Batch batch, LinearAttention op) {
  using Tile = Tile5<kSize>;
  using Stage = typename Tile::Stage;
  SHARED_ARRAY(Stage, stage, [2]);
  SHARED_ARRAY(float, part, [kTokens][Tile::kGroups][kValues]);  // of out, by keys
  const int lane = threadIdx.x % kValues, group = threadIdx.x / kValues, value = static_cast<int>(blockIdx.z) * kValues;
  const int begin = batch.offsets[blockIdx.x], n_token = batch.offsets[blockIdx.x + 1] - begin;
  const std::int64_t first = begin, att = op.k.n_col, channel = std::int64_t{blockIdx.y} * kSize;
  const StateOfSequence state(op.s, blockIdx.x, (channel + group * kKeys) * kSize + value + lane);
  take_over();
  if (n_token <= 0) return;
  Tile::load(stage[0], op, first, channel, value, n_token);

  float s[kKeys], u[kKeys];
  for (int i = 0; i < kKeys; ++i) s[i] = state.get<float>(i * kSize), u[i] = op.u[channel + group * kKeys + i];

  for (int done = 0; done < n_token; done += kTokens) {
    const Stage& now = stage[done / kTokens % 2];
    cp_async_wait<0>();
    __syncthreads();  // now is there, and no thread needs the other, nor part
    const int next = done + kTokens, n = min(n_token - done, kTokens);
    if (next < n_token) Tile::load(stage[next / kTokens % 2], op, first + next, channel, value, n_token - next);
    for (int token = 0; token < n; ++token) {
      const float v = now.v[token][lane];
      float y = 0.0f;
      for (int i = 0; i < kKeys; i += 4) {
        const float4 r = *reinterpret_cast<const float4*>(&now.r[token][group * kKeys + i]);
        const float4 w = *reinterpret_cast<const float4*>(&now.w[token][group * kKeys + i]);
        const float4 k = *reinterpret_cast<const float4*>(&now.k[token][group * kKeys + i]);
        attend(s[i], y, r.x, w.x, k.x, v, u[i]);
        attend(s[i + 1], y, r.y, w.y, k.y, v, u[i + 1]);
        attend(s[i + 2], y, r.z, w.z, k.z, v, u[i + 2]);
        attend(s[i + 3], y, r.w, w.w, k.w, v, u[i + 3]);
      }
      part[token][group][lane] = y;
    }
    __syncthreads();
    for (int token = group; token < n; token += Tile::kGroups) {
      float y = 0.0f;
      for (int x = 0; x < Tile::kGroups; ++x) y += part[token][x][lane];
      op.out.data[(first + done + token) * att + channel + value + lane] = y;
    }
  }

  for (int i = 0; i < kKeys; ++i) state.set(i * kSize, s[i]);
}

// Heads of any size: a thread takes a column of the state, which stays where it is.
constexpr int kThreads = 64;

__global__ void __launch_bounds__(kThreads) any_size_kernel(Batch batch, LinearAttention op) {
  const int n = static_cast<int>(op.k.n_col / op.n_head), value = static_cast<int>(blockIdx.z * kThreads + threadIdx.x);
  take_over();
  if (value >= n) return;
  const std::int64_t channel = std::int64_t{blockIdx.y} * n;
  const StateOfSequence state(op.s, blockIdx.x, channel * n + value);
  for (int row = batch.offsets[blockIdx.x]; row < batch.offsets[blockIdx.x + 1]; ++row) {
    const std::int64_t at = row * op.k.n_col + channel;
    const float *const r = op.r.data + at, *const k = op.k.data + at, *const w = op.w + row * op.w_stride + channel;
    const float v = op.v.data[at + value];
    float y = 0.0f;
    for (int i = 0; i < n; ++i) {
      float s = state.get<float>(i * n);
      attend(s, y, r[i], w[i], k[i], v, op.u[channel + i]);
      state.set(i * n, s);
    }
    op.out.data[at + value] = y;
  }
}

template <int kSize>
void launch_tiles(cudaStream_t stream, const Batch& batch, const LinearAttention& op) {
  const dim3 grid(static_cast<unsigned>(batch.n_seq), static_cast<unsigned>(op.n_head), kSize / kValues);
  launch({grid, Tile5<kSize>::kThreads, 0, stream, can_overlap()}, linear_attention_kernel<kSize>, batch, op);
}

}  // namespace

void linear_attention(cudaStream_t stream, const Batch& batch, const LinearAttention& op) {
  const std::int64_t size = op.k.n_col / op.n_head;
  switch (size) {
    case 32:
      return launch_tiles<32>(stream, batch, op);
    case 64:
      return launch_tiles<64>(stream, batch, op);
    case 128:
      return launch_tiles<128>(stream, batch, op);
    default:
      const dim3 grid(static_cast<unsigned>(batch.n_seq), static_cast<unsigned>(op.n_head),
                      static_cast<unsigned>((size + kThreads - 1) / kThreads));
      launch({grid, kThreads, 0, stream, can_overlap()}, any_size_kernel, batch, op);
  }
}

}  // namespace rwkv::cuda
