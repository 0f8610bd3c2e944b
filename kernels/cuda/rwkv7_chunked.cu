// SPDX-License-Identifier: Apache-2.0
// WKV of RWKV-7 for many tokens of few heads, 16 tokens at a time, as spec 13 derives from the recurrence (kernels/rwkv7.h).
// Of a chunk, W_t = w_1 ... w_t per key, rows are tokens, a = -kk:
//   A_t = W_(t-1) a_t    R_t = W_t r_t    B_t = b_t / W_t    K_t = k_t / W_t                             [16, N]
//   U = (I - tril(A B^T, -1))^-1 (A S^T + tril(A K^T, -1) V)    Y = R S^T + tril(R B^T) U + tril(R K^T) V    [16, N values]
//   S = (S + U^T B + V^T K) diag(W_16)
// w is 0.545 to 1, so 1 / W is below 2e4, and no product of a W and a 1 / W that is used is above 1.
//
// One kernel, a block for 16 or 32 rows of the state of a head; the rows of S do not depend on each other, and what all rows
// need of a chunk each block makes for itself: handing it over in memory would be twice the bytes of all inputs. Four warps
// have 16 keys of S each in registers; four make A, R, B, K and their products and one the inverse, a chunk ahead of them.
// Products are tensor cores', float32 as two tf32 each (22 bits) in three products; sums that S carries on are float32's own.
// A NaN or infinity in a row reaches all rows of its chunk, not only those behind it.
//
// Estimates for an H200, not measured, of a chunk in a block of 16 (32) rows: 468 (744) mma m16n8k8, at 6.2 cycles of a
// quarter of a multiprocessor each 725 (1,150) cycles; 21 (22) KiB from the second-level cache, 780 (820) at 27 bytes per
// cycle and multiprocessor; in order two steps of 400 and 250. So 50 (72) cycles per token, where the serial kernel waits 165:
// 1,024 tokens of 32 heads in 29 us. nvcc 13, sm_80 and 90: 133 (168) registers of 288 threads, no spills; 56 (66) KiB shared.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/rwkv7.h"
#include "kernels/cuda/state.h"

namespace rwkv::cuda {
namespace {

constexpr int kChunk = 16, kSize = 64;
constexpr int kStateWarps = 4, kChunkWarps = 4, kThreads = 32 * (kStateWarps + kChunkWarps + 1);
constexpr int kKeys = kSize / kStateWarps;  // of a warp
// Eight rows that a warp reads two neighbours of each lie in different banks.
constexpr int kPitch = kSize + 8, kSquarePitch = kChunk + 8;

// A product of a warp is of mma_m16n8k8_tf32's fragments (ptx.h). g = lane / 4 and t = lane % 4; numbers t and t + 4 along k
// are always neighbours 2t and 2t + 1 of what is multiplied, so that a result is an operand as it is.
__device__ int lane_g() { return static_cast<int>(threadIdx.x) % 32 / 4; }
__device__ int lane_t() { return static_cast<int>(threadIdx.x) % 4; }

// float32 as the sum of two tf32.
template <int n>
struct Parts {
  unsigned high[n], low[n];

  __device__ void set(int i, float x) {
    high[i] = __float_as_uint(x) & 0xffffe000u;
    low[i] = tf32(x - __uint_as_float(high[i]));
  }
};

struct Left : Parts<4> {  // [16, 8]
  // The first at x, rows of `pitch`.
  __device__ static Left of_rows(const float* x, int pitch) {
    Left a;
    UNROLL for (int i = 0; i < 2; ++i) {
      const float2 two = *reinterpret_cast<const float2*>(x + (lane_g() + 8 * i) * pitch + 2 * lane_t());
      a.set(i, two.x), a.set(2 + i, two.y);
    }
    return a;
  }
  // Of the transpose of what lies at x.
  __device__ static Left of_columns(const float* x, int pitch) {
    Left a;
    UNROLL for (int i = 0; i < 4; ++i) a.set(i, x[(2 * lane_t() + i / 2) * pitch + lane_g() + 8 * (i % 2)]);
    return a;
  }
  __device__ static Left of_sums(const float (&d)[4]) {
    Left a;
    UNROLL for (int i = 0; i < 4; ++i) a.set(i, d[i / 2 + i % 2 * 2]);
    return a;
  }
};

struct Right : Parts<2> {  // [8, 8]
  __device__ static Right of_rows(const float* x, int pitch) {
    Right b;
    UNROLL for (int i = 0; i < 2; ++i) b.set(i, x[(2 * lane_t() + i) * pitch + lane_g()]);
    return b;
  }
  __device__ static Right of_columns(const float* x, int pitch) {
    const float2 two = *reinterpret_cast<const float2*>(x + lane_g() * pitch + 2 * lane_t());
    Right b;
    b.set(0, two.x), b.set(1, two.y);
    return b;
  }
};

struct Sum {  // [16, 8]
  float large[4]{}, small[4]{};

  __device__ void add(const Left& a, const Right& b) {
    mma_m16n8k8_tf32(small, a.low, b.high);
    mma_m16n8k8_tf32(small, a.high, b.low);
    mma_m16n8k8_tf32(large, a.high, b.high);
  }
  __device__ float operator[](int i) const { return large[i] + small[i]; }
};

__device__ float4& vector_at(float* x) { return *reinterpret_cast<float4*>(x); }

// In shared memory. kTiles: 16 rows of the state each.
template <int kTiles>
struct Chunk {
  float a[kChunk][kPitch], r[kChunk][kPitch], b[kChunk][kPitch], k[kChunk][kPitch];  // A, R, B, K; 0 past the last token
  float v[kChunk][16 * kTiles + 4];                                                  // of the block's rows; so is this
  float w[kSize];                                                                    // W_16
};
struct Square {
  float of[kChunk][kSquarePitch];  // [token, earlier token]
};
template <int kTiles>
struct Shared {
  Chunk<kTiles> chunk[2];
  Square ab, ak, rk, rb[2], inverse;  // below the diagonal, or on and below it; rb: of a chunk and the one before
  // A S^T + (A K^T) V and R S^T + (R K^T) V, [values, tokens], as far as a warp has the keys; two [16, 8] of each tile.
  float4 parts[2][kTiles][2][kStateWarps][32];
};

// What a block works on.
struct Place {
  int n_token;
  std::int64_t at, att;  // of the head's first number of the first token in the rows; from a token to the next
  int value;             // first row of the state
};

// Of the kChunkWarps warps: what is needed of a chunk whatever the state is.
struct ChunkWarps {
  static constexpr int kEach = kChunk / 2;  // tokens of a thread, whose key is that of lane ^ 16
  float w[kEach], kk[kEach], b[kEach], k[kEach], r[kEach];

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32 - kStateWarps; }
  __device__ static int key() { return 16 * warp() + static_cast<int>(threadIdx.x) % 16; }
  __device__ static int first() { return static_cast<int>(threadIdx.x) % 32 / 16 * kEach; }

  __device__ void fetch(const Wkv7& op, const Place& place, int chunk) {
    UNROLL for (int i = 0; i < kEach; ++i) {
      const int token = chunk * kChunk + first() + i;
      const bool exists = token < place.n_token;
      const std::int64_t from = place.at + token * place.att + key();
      w[i] = exists ? op.w.data[from] : 1.0f;
      kk[i] = exists ? op.kk.data[from] : 0.0f;
      b[i] = exists ? op.b.data[from] : 0.0f;
      k[i] = exists ? op.k.data[from] : 0.0f;
      r[i] = exists ? op.r.data[from] : 0.0f;
    }
  }

  template <int kTiles>
  __device__ void scale(Chunk<kTiles>& to) const {
    float product = 1.0f;
    UNROLL for (int i = 0; i < kEach; ++i) product *= w[i];
    const float other = __shfl_xor_sync(0xffffffffu, product, 16);
    float decay = first() == 0 ? 1.0f : other;
    UNROLL for (int i = 0; i < kEach; ++i) {
      const int token = first() + i;
      to.a[token][key()] = -kk[i] * decay;
      decay *= w[i];
      const float growth = 1.0f / decay;
      to.r[token][key()] = r[i] * decay;
      to.b[token][key()] = b[i] * growth;
      to.k[token][key()] = k[i] * growth;
    }
    if (first() != 0) to.w[key()] = decay;
  }

  // A warp makes one of the four products of A, R with B, K.
  template <int kTiles>
  __device__ static void multiply(Shared<kTiles>& shared, int chunk) {
    const Chunk<kTiles>& of = shared.chunk[chunk % 2];
    const bool is_r = warp() / 2 == 1, is_k = warp() % 2 == 1;
    const float* const left = &(is_r ? of.r : of.a)[0][0];
    const float* const right = &(is_k ? of.k : of.b)[0][0];
    Square& to = is_r ? (is_k ? shared.rk : shared.rb[chunk % 2]) : (is_k ? shared.ak : shared.ab);
    Sum sum[2];
    for (int key = 0; key < kSize; key += 8) {
      const Left a = Left::of_rows(left + key, kPitch);
      UNROLL for (int n = 0; n < 2; ++n) sum[n].add(a, Right::of_columns(right + 8 * n * kPitch + key, kPitch));
    }
    UNROLL for (int n = 0; n < 2; ++n) {
      UNROLL for (int i = 0; i < 4; ++i) {
        const int token = lane_g() + i / 2 * 8, earlier = 8 * n + 2 * lane_t() + i % 2;
        to.of[token][earlier] = earlier < token || (is_r && earlier == token) ? sum[n][i] : 0.0f;
      }
    }
  }
};

// (I - lower)^-1 by a warp: a lane solves for a column. The other half of the warp does the same.
__device__ void invert(Square& lower, Square& inverse) {
  const int column = static_cast<int>(threadIdx.x) % kChunk;
  float x[kChunk];
  UNROLL for (int i = 0; i < kChunk; ++i) {
    x[i] = i == column ? 1.0f : 0.0f;
    UNROLL for (int j = 0; j < i; j += 4) {
      const float4 four = vector_at(&lower.of[i][j]);
      x[i] = fmaf(four.x, x[j], x[i]);
      if (j + 1 < i) x[i] = fmaf(four.y, x[j + 1], x[i]);
      if (j + 2 < i) x[i] = fmaf(four.z, x[j + 2], x[i]);
      if (j + 3 < i) x[i] = fmaf(four.w, x[j + 3], x[i]);
    }
  }
  if (threadIdx.x % 32 >= kChunk) return;
  UNROLL for (int i = 0; i < kChunk; ++i) inverse.of[i][column] = x[i];
}

// Of the kStateWarps warps.
template <int kTiles>
struct StateWarps {
  static constexpr int kEach = kChunk * 16 * kTiles / (32 * kStateWarps);  // numbers of v of a thread
  float s[kTiles][2][4];                                                   // sums' fragments of [16 values, 8 keys]
  float v[kEach];

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int first_key() { return warp() * kKeys; }

  // f(number i of s, its place in the state [rows of the block, keys])
  template <class F>
  __device__ void each_two(const F& f) {
    UNROLL for (int tile = 0; tile < kTiles; ++tile) {
      UNROLL for (int n = 0; n < 2; ++n) {
        UNROLL for (int i = 0; i < 4; i += 2) {
          f(&s[tile][n][i], (16 * tile + lane_g() + i / 2 * 8) * kSize + first_key() + 8 * n + 2 * lane_t());
        }
      }
    }
  }
  __device__ void load(const StateOfSequence& state) {
    each_two([&](float* two, int at) {
      const float2 from = state.get<float2>(at);
      two[0] = from.x, two[1] = from.y;
    });
  }
  __device__ void store(const StateOfSequence& state) {
    each_two([&](const float* two, int at) { state.set(at, float2{two[0], two[1]}); });
  }

  __device__ void fetch(const Wkv7& op, const Place& place, int chunk) {
    UNROLL for (int i = 0; i < kEach; ++i) {
      const int number = static_cast<int>(threadIdx.x) + 32 * kStateWarps * i;
      const int token = chunk * kChunk + number / (16 * kTiles), value = place.value + number % (16 * kTiles);
      v[i] = token < place.n_token ? op.v.data[place.at + token * place.att + value] : 0.0f;
    }
  }
  __device__ void put(Chunk<kTiles>& to) const {
    UNROLL for (int i = 0; i < kEach; ++i) {
      const int number = static_cast<int>(threadIdx.x) + 32 * kStateWarps * i;
      to.v[number / (16 * kTiles)][number % (16 * kTiles)] = v[i];
    }
  }

  // What S and V give of A S^T + (A K^T) V and R S^T + (R K^T) V: each warp has its keys, and half of V's tokens for one.
  __device__ void multiply(Shared<kTiles>& shared, int chunk) const {
    const Chunk<kTiles>& of = shared.chunk[chunk % 2];
    const int tokens = warp() % 2 * 8;
    Left of_s[kTiles][2];
    UNROLL for (int tile = 0; tile < kTiles; ++tile) {
      UNROLL for (int n = 0; n < 2; ++n) of_s[tile][n] = Left::of_sums(s[tile][n]);
    }
    UNROLL for (int is_r = 0; is_r < 2; ++is_r) {
      const float* const right = &(is_r ? of.r : of.a)[0][first_key()];
      const float* const square = &(is_r ? shared.rk : shared.ak).of[0][tokens];
      UNROLL for (int n = 0; n < 2; ++n) {
        Sum sum[kTiles];
        UNROLL for (int key = 0; key < 2; ++key) {
          const Right b = Right::of_columns(right + 8 * n * kPitch + 8 * key, kPitch);
          UNROLL for (int tile = 0; tile < kTiles; ++tile) sum[tile].add(of_s[tile][key], b);
        }
        if (warp() / 2 == is_r) {
          const Right b = Right::of_columns(square + 8 * n * kSquarePitch, kSquarePitch);
          UNROLL for (int tile = 0; tile < kTiles; ++tile) {
            sum[tile].add(Left::of_columns(&of.v[tokens][16 * tile], 16 * kTiles + 4), b);
          }
        }
        UNROLL for (int tile = 0; tile < kTiles; ++tile) {
          const Sum& x = sum[tile];
          shared.parts[is_r][tile][n][warp()][lane()] = {x[0], x[1], x[2], x[3]};
        }
      }
    }
  }

  __device__ static void add_parts(const Shared<kTiles>& shared, int is_r, int tile, int n, float (&sum)[4]) {
    UNROLL for (int w = 0; w < kStateWarps; ++w) {
      const float4 part = shared.parts[is_r][tile][n][w][lane()];
      sum[0] += part.x, sum[1] += part.y, sum[2] += part.z, sum[3] += part.w;
    }
  }

  // All warps make the same U; each advances its keys, and makes some of Y.
  __device__ void advance(const Shared<kTiles>& shared, const Wkv7& op, const Place& place, int chunk) {
    const Chunk<kTiles>& of = shared.chunk[chunk % 2];
    UNROLL for (int tile = 0; tile < kTiles; ++tile) {
      __syncwarp();  // of B and K, operands of one tile do not stay in registers for the next: no spills
      Left x[2], u[2], of_v[2];
      UNROLL for (int n = 0; n < 2; ++n) {
        float sum[4] = {};
        add_parts(shared, 0, tile, n, sum);
        x[n] = Left::of_sums(sum);
        of_v[n] = Left::of_columns(&of.v[8 * n][16 * tile], 16 * kTiles + 4);
      }
      UNROLL for (int n = 0; n < 2; ++n) {
        Sum sum;
        UNROLL for (int k = 0; k < 2; ++k) sum.add(x[k], Right::of_columns(&shared.inverse.of[8 * n][8 * k], kSquarePitch));
        const float sums[4] = {sum[0], sum[1], sum[2], sum[3]};
        u[n] = Left::of_sums(sums);
      }
      UNROLL for (int n = 0; n < 2; ++n) {
        const int key = first_key() + 8 * n;
        Sum sum;
        UNROLL for (int k = 0; k < 2; ++k) {
          sum.add(of_v[k], Right::of_rows(&of.k[8 * k][key], kPitch));
          sum.add(u[k], Right::of_rows(&of.b[8 * k][key], kPitch));
        }
        UNROLL for (int i = 0; i < 4; ++i) s[tile][n][i] = (s[tile][n][i] + sum[i]) * of.w[key + 2 * lane_t() + i % 2];
      }
      if (warp() / 2 == tile % 2) store_y(shared, op, place, chunk, tile, u);
    }
  }

  // Eight tokens of Y.
  __device__ static void store_y(const Shared<kTiles>& shared, const Wkv7& op, const Place& place, int chunk, int tile,
                                 const Left (&u)[2]) {
    const int n = warp() % 2;
    float y[4] = {};
    add_parts(shared, 1, tile, n, y);
    Sum sum;
    UNROLL for (int k = 0; k < 2; ++k) sum.add(u[k], Right::of_columns(&shared.rb[chunk % 2].of[8 * n][8 * k], kSquarePitch));
    UNROLL for (int i = 0; i < 4; ++i) {
      const int token = chunk * kChunk + 8 * n + 2 * lane_t() + i % 2;
      const int value = place.value + 16 * tile + lane_g() + i / 2 * 8;
      if (token < place.n_token) op.out.data[place.at + token * place.att + value] = y[i] + sum[i];
    }
  }
};

template <int kTiles>
__global__ void __launch_bounds__(kThreads) wkv7_chunked_kernel(Batch batch, Wkv7 op) {
  DYN_SHARED(Shared<kTiles>, shared);
  const int begin = batch.offsets[blockIdx.x], n_token = batch.offsets[blockIdx.x + 1] - begin;
  if (n_token <= 0) return;
  const std::int64_t att = op.k.n_col, channel = std::int64_t{blockIdx.y} * kSize;
  const Place place{n_token, begin * att + channel, att, static_cast<int>(blockIdx.z) * 16 * kTiles};
  const StateOfSequence state(op.s, blockIdx.x, (channel + place.value) * kSize);
  const int warp = static_cast<int>(threadIdx.x) / 32, n_chunk = (n_token + kChunk - 1) / kChunk;
  const bool has_state = warp < kStateWarps, makes_chunks = !has_state && warp < kStateWarps + kChunkWarps;

  // A chunk is fetched while the one before is multiplied.
  StateWarps<kTiles> rows;
  ChunkWarps next;
  const auto put = [&](int chunk) {
    if (has_state) {
      rows.put(shared->chunk[chunk % 2]);
      if (chunk + 1 < n_chunk) rows.fetch(op, place, chunk + 1);
    } else if (makes_chunks) {
      next.scale(shared->chunk[chunk % 2]);
      if (chunk + 1 < n_chunk) next.fetch(op, place, chunk + 1);
    }
  };
  if (has_state) rows.load(state), rows.fetch(op, place, 0);
  if (makes_chunks) next.fetch(op, place, 0);
  put(0);
  __syncthreads();
  for (int chunk = 0; chunk < n_chunk; ++chunk) {
    if (makes_chunks) ChunkWarps::multiply(*shared, chunk);
    if (has_state && chunk > 0) rows.advance(*shared, op, place, chunk - 1);
    __syncthreads();
    if (chunk + 1 < n_chunk) put(chunk + 1);
    if (has_state) rows.multiply(*shared, chunk);
    if (!has_state && !makes_chunks) invert(shared->ab, shared->inverse);
    __syncthreads();
  }
  if (!has_state) return;
  rows.advance(*shared, op, place, n_chunk - 1);
  rows.store(state);
}

template <int kTiles>
void launch_chunked(cudaStream_t stream, const Batch& batch, const Wkv7& op) {
  const auto kernel = wkv7_chunked_kernel<kTiles>;
  constexpr std::size_t kBytes = sizeof(Shared<kTiles>);
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const dim3 grid(static_cast<unsigned>(batch.n_seq), static_cast<unsigned>(op.n_head), kSize / (16 * kTiles));
  launch({grid, kThreads, kBytes, stream}, kernel, batch, op);
}

}  // namespace

void wkv7_chunked(cudaStream_t stream, int rows, const Batch& batch, const Wkv7& op) {
  rows == 16 ? launch_chunked<1>(stream, batch, op) : launch_chunked<2>(stream, batch, op);
}

}  // namespace rwkv::cuda
