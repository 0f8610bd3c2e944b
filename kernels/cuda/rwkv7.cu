// SPDX-License-Identifier: Apache-2.0
// The steps of RWKV-7 between its matrices for many tokens (formulas and shapes: kernels/rwkv7.h).
// Prepare and output: a warp takes a head of a row; 11 (layer 0: 7) and 6 floats of traffic per value, 64 / 51 / 48 registers.
// WKV: a block takes 16 rows of the state of a head, or 64 where that makes blocks enough, and keeps them in registers for all
// tokens, whose numbers come through shared memory while those before are computed. Traffic per head: 2 N^2 floats per call, 7
// N per token, and from the second-level cache 5 N more for each further block of the head. N = 64, sm_75 / 80 / 90, no spills:
// 90 / 77 / 72 registers of 128 threads with 64 rows, 70 / 66 / 48 with 16; 24 KiB shared. Estimates, not measured: one token
// of many sequences is bound by the state's traffic, 80 % of bandwidth; many tokens of one sequence by latency, 165 cycles per
// token; many of many sequences by issue, 920 instructions of a warp per token and head: on an H200 2.4 times what the bytes
// take.
#include "kernels/cuda/rwkv7.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/rwkv7_state.h"
#include "kernels/cuda/state.h"

namespace rwkv::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

unsigned blocks(std::int64_t n, std::int64_t per_block) { return static_cast<unsigned>((n + per_block - 1) / per_block); }

// Prepare and output: a warp takes a head of n values of row blockIdx.x. A lane reads what it needs for its first kPerLane
// values at once, as one token's kernel takes as long as its reads that wait for each other; heads of up to 64 have no more.
constexpr int kPerLane = 2;
constexpr int kPanel = 32 * kPerLane;

struct WarpHead {
  int n, lane;
  std::int64_t at, channel;  // of its first value in the rows, and in [A]
  bool exists;

  __device__ WarpHead(int size, std::int64_t n_head) : n(size), lane(threadIdx.x % 32) {
    const unsigned head = blockIdx.y * kWarps + threadIdx.x / 32;
    channel = std::int64_t{head} * n, at = blockIdx.x * n_head * n + channel, exists = head < n_head;
  }
};

dim3 head_grid(const Rows& rows, std::int64_t n_head) { return {blocks(rows.n_row, 1), blocks(n_head, kWarps)}; }

// Values j, j + 32 ... of a head; 0 beyond its end.
struct PreparePanel {
  float w[kPerLane]{}, k[kPerLane]{}, v[kPerLane]{}, a[kPerLane]{}, k_k[kPerLane]{}, k_a[kPerLane]{};
  float v_first[kPerLane]{}, v_mix[kPerLane]{};

  __device__ PreparePanel(const Prepare7& op, const WarpHead& head, int first) {
    for (int i = 0; i < kPerLane; ++i) {
      const int j = first + 32 * i;
      if (j >= head.n) continue;
      const std::int64_t at = head.at + j, channel = head.channel + j;
      k[i] = op.k.data[at], k_k[i] = op.k_k[channel], w[i] = op.w.data[at], a[i] = op.a.data[at], k_a[i] = op.k_a[channel];
      if (op.v_first) v[i] = op.v.data[at], v_first[i] = op.v_first[at], v_mix[i] = op.v_mix[at];
    }
  }
  __device__ void store(const Prepare7& op, const WarpHead& head, int first, float scale) const {
    for (int i = 0; i < kPerLane; ++i) {
      const int j = first + 32 * i;
      if (j >= head.n) continue;
      const std::int64_t at = head.at + j;
      const float removal = k[i] * k_k[i] * scale;
      op.w.data[at] = expf(-0.606531f * w[i]);
      op.kk.data[at] = removal;
      op.a.data[at] = removal * a[i];
      op.k.data[at] = k[i] * ((a[i] - 1.0f) * k_a[i] + 1.0f);
      if (op.v_first) op.v.data[at] = v[i] + (v_first[i] - v[i]) * v_mix[i];
    }
  }
};

__global__ void __launch_bounds__(kThreads) prepare7_kernel(Prepare7 op, int size) {
  const WarpHead head(size, op.n_head);
  if (!head.exists) return;
  const PreparePanel panel(op, head, head.lane);
  float squares = 0.0f;
  const auto add = [&](float x) { squares += x * x; };
  for (int i = 0; i < kPerLane; ++i) add(panel.k[i] * panel.k_k[i]);
  for (int j = head.lane + kPanel; j < head.n; j += 32) add(op.k.data[head.at + j] * op.k_k[head.channel + j]);
  const float norm = sqrtf(warp_sum(squares));
  const float scale = 1.0f / (norm < 1e-12f ? 1e-12f : norm);  // keeps NaN, unlike fmaxf
  panel.store(op, head, head.lane, scale);
  for (int j = head.lane + kPanel; j < head.n; j += kPanel) PreparePanel(op, head, j).store(op, head, j, scale);
}

// Values j, j + 32 ... of a head; 0 beyond its end.
struct OutputPanel {
  float y[kPerLane]{}, r[kPerLane]{}, k[kPerLane]{}, v[kPerLane]{}, g[kPerLane]{};
  float r_k[kPerLane]{}, weight[kPerLane]{}, bias[kPerLane]{};

  __device__ OutputPanel(const Output7& op, const WarpHead& head, int first) {
    for (int i = 0; i < kPerLane; ++i) {
      const int j = first + 32 * i;
      if (j >= head.n) continue;
      const std::int64_t at = head.at + j, channel = head.channel + j;
      y[i] = op.y.data[at], r[i] = op.r.data[at], k[i] = op.k.data[at], v[i] = op.v.data[at], g[i] = op.g.data[at];
      r_k[i] = op.r_k[channel], weight[i] = op.weight[channel], bias[i] = op.bias[channel];
    }
  }
  __device__ void store(const Output7& op, const WarpHead& head, int first, float mean, float scale, float bonus) const {
    for (int i = 0; i < kPerLane; ++i) {
      const int j = first + 32 * i;
      if (j >= head.n) continue;
      op.out.data[head.at + j] = ((y[i] - mean) * scale * weight[i] + bias[i] + bonus * v[i]) * g[i];
    }
  }
};

__global__ void __launch_bounds__(kThreads) output7_kernel(Output7 op, int size) {
  const WarpHead head(size, op.n_head);
  if (!head.exists) return;
  const OutputPanel panel(op, head, head.lane);
  const float *const y = op.y.data + head.at, *const r = op.r.data + head.at, *const k = op.k.data + head.at;
  const float n = static_cast<float>(head.n);
  float sum = 0.0f, bonus = 0.0f, squares = 0.0f;
  for (int i = 0; i < kPerLane; ++i) sum += panel.y[i], bonus += panel.r[i] * panel.k[i] * panel.r_k[i];
  for (int j = head.lane + kPanel; j < head.n; j += 32) sum += y[j], bonus += r[j] * k[j] * op.r_k[head.channel + j];
  const float mean = warp_sum(sum) / n;
  bonus = warp_sum(bonus);
  for (int i = 0; i < kPerLane; ++i) {
    if (head.lane + 32 * i < head.n) squares += (panel.y[i] - mean) * (panel.y[i] - mean);
  }
  for (int j = head.lane + kPanel; j < head.n; j += 32) squares += (y[j] - mean) * (y[j] - mean);
  const float scale = rsqrtf(warp_sum(squares) / n + op.eps);
  panel.store(op, head, head.lane, mean, scale, bonus);
  for (int j = head.lane + kPanel; j < head.n; j += kPanel) OutputPanel(op, head, j).store(op, head, j, mean, scale, bonus);
}

// WKV of a head of kSize values and keys. A lane has kRows rows of the state (rwkv7_state.h), in registers.
template <int kSize, int kRows>
struct Tile7 {
  static constexpr int kVectors = kSize / (4 * kLanes);
  static constexpr int kValues = kThreads / kLanes * kRows;  // of a block
  static constexpr int kTokens = kThreads / (kSize / 4);     // that are staged together, one vector of an array per thread
  static_assert(kVectors > 0 && kSize % (4 * kLanes) == 0 && kSize % kValues == 0);

  struct alignas(kRows * sizeof(float)) Values {  // of a lane's rows
    float of_row[kRows];
  };

  struct Stage {  // in shared memory
    float r[kTokens][kSize], w[kTokens][kSize], k[kTokens][kSize], kk[kTokens][kSize], b[kTokens][kSize];
    float v[kTokens][kValues];
  };

  // n_token rows, the head's first number of the first at `at`, the block's first value being `value`; a group of copies.
  __device__ static void load(Stage& to, const Wkv7& op, std::int64_t at, int value, int n_token) {
    const int token = threadIdx.x / (kSize / 4), j = threadIdx.x % (kSize / 4) * 4;
    if (token < n_token) {
      const std::int64_t from = at + token * op.k.n_col + j;
      cp_async<16>(&to.r[token][j], op.r.data + from);
      cp_async<16>(&to.w[token][j], op.w.data + from);
      cp_async<16>(&to.k[token][j], op.k.data + from);
      cp_async<16>(&to.kk[token][j], op.kk.data + from);
      cp_async<16>(&to.b[token][j], op.b.data + from);
    }
    const int v_token = threadIdx.x / (kValues / 4), i = threadIdx.x % (kValues / 4) * 4;
    if (v_token < min(n_token, kTokens)) {
      cp_async<16>(&to.v[v_token][i], op.v.data + at + v_token * op.k.n_col + value + i);
    }
    cp_async_commit();
  }
};

template <int kSize, int kRows>
__global__ void __launch_bounds__(kThreads) wkv7_kernel(Batch batch, Wkv7 op) {
  using Tile = Tile7<kSize, kRows>;
  using Stage = typename Tile::Stage;
  using Values = typename Tile::Values;
  constexpr int kVectors = Tile::kVectors;
  SHARED_ARRAY(Stage, stage, [2]);
  const int lane = threadIdx.x % kLanes, own = threadIdx.x / kLanes * kRows;  // own: its first value in the block
  const int value = static_cast<int>(blockIdx.z) * Tile::kValues;
  const int begin = batch.offsets[blockIdx.x], n_token = batch.offsets[blockIdx.x + 1] - begin;
  const std::int64_t att = op.k.n_col, channel = std::int64_t{blockIdx.y} * kSize, first = begin * att + channel;
  const StateOfSequence state(op.s, blockIdx.x, (channel + value + own) * kSize + 4 * lane);
  if (n_token <= 0) return;
  Tile::load(stage[0], op, first, value, n_token);
  float4 s[kRows][kVectors];
  for (int x = 0; x < kRows; ++x) {
    for (int q = 0; q < kVectors; ++q) s[x][q] = state.get<float4>(x * kSize + 4 * kLanes * q);
  }

  // Of this token, S kk; of the one before, out: summed over lanes together, one's latency hides the other's.
  float sums[2 * kRows] = {};
  float* out = op.out.data + first + value + own;
  const auto store_out = [&] {
    Values y;
    for (int x = 0; x < kRows; ++x) y.of_row[x] = sums[kRows + x];
    if (lane == 0) *reinterpret_cast<Values*>(out) = y;
    out += att;
  };
  for (int done = 0; done < n_token; done += Tile::kTokens) {
    const Stage& now = stage[done / Tile::kTokens % 2];
    cp_async_wait<0>();
    __syncthreads();  // now is there, and no thread needs the other
    const int next = done + Tile::kTokens, n = min(n_token - done, Tile::kTokens);
    if (next < n_token) Tile::load(stage[next / Tile::kTokens % 2], op, first + next * att, value, n_token - next);
    for (int token = 0; token < n; ++token) {
      for (int x = 0; x < kRows; ++x) sums[x] = 0.0f;
      for (int q = 0; q < kVectors; ++q) {
        const float4 kk = vector_at(&now.kk[token][4 * (lane + kLanes * q)]);
        for (int x = 0; x < kRows; ++x) sums[x] = dot(s[x][q], kk, sums[x]);
      }
      sum_lanes(sums);
      if (done + token > 0) store_out();
      const Values v = *reinterpret_cast<const Values*>(&now.v[token][own]);
      for (int x = 0; x < kRows; ++x) sums[kRows + x] = 0.0f;
      for (int q = 0; q < kVectors; ++q) {
        const int j = 4 * (lane + kLanes * q);
        const float4 w = vector_at(&now.w[token][j]), b = vector_at(&now.b[token][j]);
        const float4 k = vector_at(&now.k[token][j]), r = vector_at(&now.r[token][j]);
        for (int x = 0; x < kRows; ++x) {
          s[x][q] = advance(s[x][q], w, sums[x], b, v.of_row[x], k);
          sums[kRows + x] = dot(s[x][q], r, sums[kRows + x]);
        }
      }
    }
  }
  sum_lanes(sums);
  store_out();

  for (int x = 0; x < kRows; ++x) {
    for (int q = 0; q < kVectors; ++q) state.set(x * kSize + 4 * kLanes * q, s[x][q]);
  }
}

// Heads of any size: a warp takes a row of the state, which stays where it is.
__global__ void __launch_bounds__(kThreads) wkv7_any_size_kernel(Batch batch, Wkv7 op) {
  const int lane = threadIdx.x % 32, n = static_cast<int>(op.k.n_col / op.n_head);
  const int value = static_cast<int>(blockIdx.z) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (value >= n) return;
  const std::int64_t channel = std::int64_t{blockIdx.y} * n;
  const StateOfSequence state(op.s, blockIdx.x, (channel + value) * n);
  for (int row = batch.offsets[blockIdx.x]; row < batch.offsets[blockIdx.x + 1]; ++row) {
    const std::int64_t at = row * op.k.n_col + channel;
    float removed = 0.0f, y = 0.0f;
    for (int j = lane; j < n; j += 32) removed += state.get<float>(j) * op.kk.data[at + j];
    removed = warp_sum(removed);
    const float v = op.v.data[at + value];
    for (int j = lane; j < n; j += 32) {
      const float s = state.get<float>(j) * op.w.data[at + j] - removed * op.b.data[at + j] + v * op.k.data[at + j];
      state.set(j, s);
      y += s * op.r.data[at + j];
    }
    y = warp_sum(y);
    if (lane == 0) op.out.data[at + value] = y;
  }
}

template <int kSize, int kRows>
void launch_wkv7(cudaStream_t stream, const Batch& batch, const Wkv7& op) {
  const dim3 grid(blocks(batch.n_seq, 1), blocks(op.n_head, 1), kSize / Tile7<kSize, kRows>::kValues);
  launch({grid, kThreads, 0, stream}, wkv7_kernel<kSize, kRows>, batch, op);
}

int n_multiprocessor() {
  int device = 0, n = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device));
  return n;
}

// sm_80, 90, 100, 103: 4 times float32's rate or more. Other cards multiply tf32, of which float32 takes three, no faster than
// float32 itself.
bool has_fast_tf32() {
  if (code_capability() < 80) return false;
  int device = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return (major == 8 && minor == 0) || major == 9 || major == 10;
}

constexpr std::int64_t kFewestChunkedTokens = 32;

}  // namespace

void prepare7(cudaStream_t stream, const Prepare7& op) {
  launch({head_grid(op.k, op.n_head), kThreads, 0, stream}, prepare7_kernel, op, op.k.n_col / op.n_head);
}

void wkv7_serial(cudaStream_t stream, const Batch& batch, const Wkv7& op) {
  const bool few = batch.n_seq * op.n_head <= n_multiprocessor();  // small blocks then, to occupy all of the card
  const std::int64_t size = op.k.n_col / op.n_head;
  switch (size) {
    case 32:
      return few ? launch_wkv7<32, 1>(stream, batch, op) : launch_wkv7<32, 2>(stream, batch, op);
    case 64:
      return few ? launch_wkv7<64, 1>(stream, batch, op) : launch_wkv7<64, 4>(stream, batch, op);
    case 128:
      return few ? launch_wkv7<128, 1>(stream, batch, op) : launch_wkv7<128, 4>(stream, batch, op);
    default:
      const dim3 grid(blocks(batch.n_seq, 1), blocks(op.n_head, 1), blocks(size, kWarps));
      launch({grid, kThreads, 0, stream}, wkv7_any_size_kernel, batch, op);
  }
}

// Chunks where heads are too few to occupy the card: there the serial kernel waits for each token, while with more heads than
// multiprocessors it is bound by what it does. A chunk that is not full takes as long as a full one: below two chunks a
// sequence, on average, little is gained.
void wkv7(cudaStream_t stream, const Batch& batch, const Wkv7& op) {
  const std::int64_t heads = batch.n_seq * op.n_head, n = n_multiprocessor();
  const bool is_long = batch.n_row >= kFewestChunkedTokens * batch.n_seq;
  if (op.k.n_col / op.n_head != 64 || heads > n || !is_long || !has_fast_tf32()) return wkv7_serial(stream, batch, op);
  wkv7_chunked(stream, 4 * heads <= n ? 16 : 32, batch, op);  // a block for each multiprocessor
}

void output7(cudaStream_t stream, const Output7& op) {
  launch({head_grid(op.y, op.n_head), kThreads, 0, stream}, output7_kernel, op, op.y.n_col / op.n_head);
}

}  // namespace rwkv::cuda
