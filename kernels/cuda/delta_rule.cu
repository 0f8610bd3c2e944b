// SPDX-License-Identifier: Apache-2.0
// RWKV-7 between its matrices for few tokens of each sequence, in one launch (formulas and shapes: kernels/rwkv7.h). A block
// takes a head of a sequence and has its state in registers, 16 numbers in a thread. Of each token the first warp prepares the
// head's numbers in shared memory, all threads advance their rows of the state, and the first warp norms and gates what came
// out while the others wait for the next token. Bytes moved per head: 8 N^2 for the state, per token 36 N (layer 0: 28 N).
// N = 64: 256 threads of 64 registers, so 4 blocks to a multiprocessor. Estimated, not measured: one sequence is bound by the
// latency of four steps that wait for each other, 3 us; many by the state's traffic, 80 % of the bandwidth.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/rwkv7.h"
#include "kernels/cuda/rwkv7_state.h"
#include "kernels/cuda/state.h"

namespace rwkv::cuda {
namespace {

// More take longer here than three launches do.
constexpr std::int64_t kFewTokens = 8;

// A head of kSize values and keys.
template <int kSize>
struct Few7 {
  static constexpr int kThreads = kSize * kSize / 16;
  static constexpr int kVectors = kSize / (4 * kLanes);  // of a lane in a row of the state
  static constexpr int kRows = 4 / kVectors;             // of a lane
  static constexpr int kPerLane = kSize / 32;            // values of a lane of the first warp: j, j + 32 ...

  struct Shared {
    float r[kSize], w[kSize], k[kSize], v[kSize], kk[kSize], b[kSize];
    float g[kSize];
    float y[kSize];  // what came out of the state
    // The head's weights: in registers, all threads would have room for what the first warp needs.
    float k_k[kSize], k_a[kSize], r_k[kSize], weight[kSize], bias[kSize];
  };

  // Numbers of one token, as they lie in memory.
  struct Token {
    float r[kPerLane], w[kPerLane], k[kPerLane], v[kPerLane], a[kPerLane], g[kPerLane];
    float v_first[kPerLane]{}, v_mix[kPerLane]{};  // layer 0: v stays

    // at: of the head's first number
    __device__ void load(const DeltaRule& op, std::int64_t at) {
      UNROLL for (int i = 0; i < kPerLane; ++i) {
        const std::int64_t from = at + threadIdx.x + 32 * i;
        r[i] = op.r.data[from], w[i] = op.w.data[from], k[i] = op.k.data[from], v[i] = op.v.data[from];
        a[i] = op.a.data[from], g[i] = op.g.data[from];
        if (op.v_first) v_first[i] = op.v_first[from], v_mix[i] = op.v_mix[from];
      }
    }
  };

  // A head's weights, on their way to shared memory.
  struct Weights {
    float k_k[kPerLane], k_a[kPerLane], r_k[kPerLane], weight[kPerLane], bias[kPerLane];

    __device__ void load(const DeltaRule& op, std::int64_t channel) {
      UNROLL for (int i = 0; i < kPerLane; ++i) {
        const std::int64_t from = channel + threadIdx.x + 32 * i;
        k_k[i] = op.k_k[from], k_a[i] = op.k_a[from], r_k[i] = op.r_k[from], weight[i] = op.weight[from],
        bias[i] = op.bias[from];
      }
    }
    // For the same lanes.
    __device__ void store(Shared& to) const {
      UNROLL for (int i = 0; i < kPerLane; ++i) {
        const int j = static_cast<int>(threadIdx.x) + 32 * i;
        to.k_k[j] = k_k[i], to.k_a[j] = k_a[i], to.r_k[j] = r_k[i], to.weight[j] = weight[i], to.bias[j] = bias[i];
      }
    }
  };

  __device__ static void prepare(const Token& t, Shared& to) {
    float scaled[kPerLane], squares = 0.0f;
    UNROLL for (int i = 0; i < kPerLane; ++i) {
      scaled[i] = t.k[i] * to.k_k[threadIdx.x + 32 * i];
      squares += scaled[i] * scaled[i];
    }
    const float norm = sqrtf(warp_sum(squares)), scale = 1.0f / (norm < 1e-12f ? 1e-12f : norm);  // NaN stays
    UNROLL for (int i = 0; i < kPerLane; ++i) {
      const int j = static_cast<int>(threadIdx.x) + 32 * i;
      const float removal = scaled[i] * scale;
      to.r[j] = t.r[i], to.w[j] = expf(-0.606531f * t.w[i]), to.kk[j] = removal, to.b[j] = removal * t.a[i];
      to.g[j] = t.g[i];
      to.k[j] = t.k[i] * ((t.a[i] - 1.0f) * to.k_a[j] + 1.0f);
      to.v[j] = t.v[i] + (t.v_first[i] - t.v[i]) * t.v_mix[i];
    }
  }

  __device__ static void store(const Shared& from, float eps, float* out) {
    float y[kPerLane], sum = 0.0f, bonus = 0.0f, squares = 0.0f;
    UNROLL for (int i = 0; i < kPerLane; ++i) {
      const int j = static_cast<int>(threadIdx.x) + 32 * i;
      y[i] = from.y[j];
      sum += y[i], bonus += from.r[j] * from.k[j] * from.r_k[j];
    }
    const float mean = warp_sum(sum) / kSize;
    bonus = warp_sum(bonus);
    UNROLL for (int i = 0; i < kPerLane; ++i) squares += (y[i] - mean) * (y[i] - mean);
    const float scale = rsqrtf(warp_sum(squares) / kSize + eps);
    UNROLL for (int i = 0; i < kPerLane; ++i) {
      const int j = static_cast<int>(threadIdx.x) + 32 * i;
      out[j] = ((y[i] - mean) * scale * from.weight[j] + from.bias[j] + bonus * from.v[j]) * from.g[j];
    }
  }
};

template <int kSize>
__global__ void __launch_bounds__(Few7<kSize>::kThreads, 1024 / Few7<kSize>::kThreads)
    delta_rule_kernel(Batch batch, DeltaRule op) {
  using Few = Few7<kSize>;
  using Shared = typename Few::Shared;
  constexpr int kRows = Few::kRows, kVectors = Few::kVectors;
  SHARED_ARRAY(Shared, shared, [1]);
  Shared& now = shared[0];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kLanes, own = thread / kLanes * kRows;
  const bool prepares = thread < 32;
  const std::int64_t att = op.k.n_col, channel = std::int64_t{blockIdx.y} * kSize;
  const int begin = batch.offsets[blockIdx.x], end = batch.offsets[blockIdx.x + 1];
  const StateOfSequence state(op.s, blockIdx.x, (channel + own) * kSize + 4 * lane);
  typename Few::Weights head{};
  if (prepares) head.load(op, channel);
  for (int i = lane * state.numbers_in_line(); i < kRows * kSize; i += kLanes * state.numbers_in_line()) {
    state.prefetch_line(i - 4 * lane);
  }
  take_over();
  if (begin == end) return;
  float4 s[kRows][kVectors];
  UNROLL for (int x = 0; x < kRows; ++x) {
    UNROLL for (int q = 0; q < kVectors; ++q) s[x][q] = state.get<float4>(x * kSize + 4 * kLanes * q);
  }
  if (prepares) head.store(now);
  for (int row = begin; row < end; ++row) {
    const std::int64_t at = row * att + channel;
    if (prepares) {
      typename Few::Token token;
      token.load(op, at);
      Few::prepare(token, now);
    }
    __syncthreads();
    float removed[kRows] = {}, y[kRows] = {};
    UNROLL for (int q = 0; q < kVectors; ++q) {
      const float4 kk = vector_at(&now.kk[4 * (lane + kLanes * q)]);
      UNROLL for (int x = 0; x < kRows; ++x) removed[x] = dot(s[x][q], kk, removed[x]);
    }
    sum_lanes(removed);
    UNROLL for (int q = 0; q < kVectors; ++q) {
      const int j = 4 * (lane + kLanes * q);
      const float4 w = vector_at(&now.w[j]), b = vector_at(&now.b[j]), k = vector_at(&now.k[j]), r = vector_at(&now.r[j]);
      UNROLL for (int x = 0; x < kRows; ++x) {
        s[x][q] = advance(s[x][q], w, removed[x], b, now.v[own + x], k);
        y[x] = dot(s[x][q], r, y[x]);
      }
    }
    sum_lanes(y);
    UNROLL for (int x = 0; x < kRows; ++x) {
      if (lane == 0) now.y[own + x] = y[x];
    }
    __syncthreads();
    if (prepares) Few::store(now, op.eps, op.out.data + at);
  }
  UNROLL for (int x = 0; x < kRows; ++x) {
    UNROLL for (int q = 0; q < kVectors; ++q) state.set(x * kSize + 4 * kLanes * q, s[x][q]);
  }
}

template <int kSize>
void launch_few(cudaStream_t stream, const Batch& batch, const DeltaRule& op) {
  const dim3 grid(static_cast<unsigned>(batch.n_seq), static_cast<unsigned>(op.n_head));
  launch({grid, Few7<kSize>::kThreads, 0, stream, can_overlap()}, delta_rule_kernel<kSize>, batch, op);
}

}  // namespace

void delta_rule(cudaStream_t stream, const Batch& batch, const DeltaRule& op) {
  if (batch.n_row - batch.n_seq < kFewTokens) {  // so no sequence has more: each has one at least
    switch (op.k.n_col / op.n_head) {
      case 32:
        return launch_few<32>(stream, batch, op);
      case 64:
        return launch_few<64>(stream, batch, op);
    }
  }
  prepare7(stream, op.prepare());
  wkv7(stream, batch, op.wkv());
  output7(stream, op.output());
}

}  // namespace rwkv::cuda
