// SPDX-License-Identifier: Apache-2.0
// Tokens from logits: penalties, e = exp(logit - largest), the cuts, the draw (rules: docs/sampling.md). Three launches: blocks
// of 256 threads take 4096 logits each, subtract the penalties and find the largest; add up e by ranges of its bits; then a
// block of 512 threads per draw goes from the likeliest range down to the exact cut, and finds the token. Nothing is sorted.
// Sums are integers in units of 2^-39, so that no order of adding changes them. Bytes moved: 4 n_vocab per pass, 4 passes
// (top_k: 7), all but the first from the second-level cache. Estimated, not measured, for 65,536 tokens: one draw 3 + 3 + 9 us,
// the last by one multiprocessor's share of that cache; 320 draws 60 us.
#include "kernels/cuda/sample.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"

namespace rwkv::cuda {
namespace {

using Mass = unsigned long long;  // a sum of e, or a number of tokens

constexpr int kPartThreads = 256, kPart = 4096;  // logits of a block of the first two kernels
constexpr int kThreads = 512, kWarps = kThreads / 32;
constexpr int kBinShift = 19, kBins = 2048;  // ranges of e by its upper bits: 16 to a power of two; 2033 of them up to 1
constexpr int kFineBins = 1024, kFineShift = 9;
constexpr int kMostGathered = 4096;  // e of one range that are kept in shared memory
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of a part of a draw's logits.
struct Part {
  float best;
  int bad;  // the first token whose logit is NaN or +infinity; INT_MAX: none
};

// What the three kernels hand to each other.
struct Found {
  Mass* bins;   // [n_draw, 2, kBins]: sums of e, numbers of tokens
  Part* parts;  // [n_draw, n_part]
  int n_part;
};

struct Row {
  const float* logits;  // [n]
  int n;
  float max;

  __device__ float operator()(int i) const { return logits[i] - max; }
};

// e^x for x <= 0 or -infinity with the operations of src/sampling/distribution.cpp, and no two of them in one rounding: the
// same bits.
__device__ float exp_negative(float x) {
  const auto multiply_add = [](float a, float b, float c) { return __fadd_rn(__fmul_rn(a, b), c); };
  x = -__int_as_float(min(__float_as_int(x) & 0x7fffffff, __float_as_int(105.0f)));
  const float n = __fsub_rn(multiply_add(x, 1.44269504f, 12582912.0f), 12582912.0f);
  const float r = __fsub_rn(__fsub_rn(x, __fmul_rn(n, 0.693359375f)), __fmul_rn(n, -2.12194440e-4f));
  float p = 1.9875691500e-4f;
  p = multiply_add(p, r, 1.3981999507e-3f);
  p = multiply_add(p, r, 8.3334519073e-3f);
  p = multiply_add(p, r, 4.1665795894e-2f);
  p = multiply_add(p, r, 1.6666665459e-1f);
  p = multiply_add(p, r, 5.0000001201e-1f);
  p = __fadd_rn(multiply_add(__fmul_rn(p, r), r, r), 1.0f);
  const int whole = static_cast<int>(n), half = whole / 2;
  return __fmul_rn(__fmul_rn(p, __int_as_float((half + 127) << 23)), __int_as_float((whole - half + 127) << 23));
}

// x in [0, 1] in units of 2^-39, exact from 2^-16 on.
__device__ Mass fixed(float x) { return static_cast<Mass>(x * 0x1p39f); }

// Calls body(i, load(i)) for every i of first, first + stride ... below end; eight loads are on their way at once.
template <class Load, class Body>
__device__ void each(int first, int end, int stride, const Load& load, const Body& body) {
  constexpr int kAtOnce = 8;
  for (int i = first; i < end; i += stride * kAtOnce) {
    decltype(load(0)) values[kAtOnce];
    UNROLL for (int j = 0; j < kAtOnce; ++j) {
      if (i + j * stride < end) values[j] = load(i + j * stride);
    }
    UNROLL for (int j = 0; j < kAtOnce; ++j) {
      if (i + j * stride < end) body(i + j * stride, values[j]);
    }
  }
}

// Over the lanes of a warp, in every lane.
__device__ Part warp_best(Part part) {
  for (int l = 16; l > 0; l /= 2) {
    part.best = fmaxf(part.best, __shfl_xor_sync(kWholeWarp, part.best, l));
    part.bad = min(part.bad, __shfl_xor_sync(kWholeWarp, part.bad, l));
  }
  return part;
}
__device__ Part warp_best(const Part* parts, int n) {
  Part best{-kInfinity, INT_MAX};
  for (int i = threadIdx.x % 32; i < n; i += 32) {
    best.best = fmaxf(best.best, parts[i].best);
    best.bad = min(best.bad, parts[i].bad);
  }
  return warp_best(best);
}

__device__ float penalised(float logit, float penalty) {
  if (penalty != Penalty::kBan) return logit - penalty;
  return std::isnan(logit) ? logit : -kInfinity;  // a ban must not hide a broken model
}

// Block (part, draw).
__global__ void __launch_bounds__(kPartThreads) penalise_kernel(Sample op, Found found) {
  SHARED_ARRAY(Part, part, [kPartThreads / 32]);
  const Draw draw = op.draws[blockIdx.y];
  const int first = static_cast<int>(blockIdx.x) * kPart, n = min(kPart, static_cast<int>(op.logits.n_col) - first);
  const int thread = static_cast<int>(threadIdx.x);
  float* const logits = op.logits.data + draw.row * op.logits.n_col + first;
  for (int i = thread; i < draw.n_penalty; i += kPartThreads) {
    const Penalty penalty = op.penalties[draw.first_penalty + i];
    const int at = penalty.token - first;
    if (at >= 0 && at < n) logits[at] = penalised(logits[at], penalty.penalty);
  }
  Mass* const bins = found.bins + std::int64_t{blockIdx.y} * 2 * kBins;
  for (int i = first / kPart * kPartThreads + thread; i < 2 * kBins; i += found.n_part * kPartThreads) bins[i] = 0;
  __syncthreads();
  Part mine{-kInfinity, INT_MAX};
  each(
      thread, n, kPartThreads, [&](int i) { return logits[i]; },
      [&](int i, float logit) {
        if (logit > mine.best) mine.best = logit;
        if (!(logit < kInfinity)) mine.bad = min(mine.bad, first + i);
      });
  mine = warp_best(mine);
  if (thread % 32 == 0) part[thread / 32] = mine;
  __syncthreads();
  if (thread >= 32) return;
  mine = warp_best(part, kPartThreads / 32);
  if (thread == 0) found.parts[std::int64_t{blockIdx.y} * found.n_part + blockIdx.x] = mine;
}

__device__ bool is_greedy(const Draw& draw) { return draw.temperature == 0.0f || draw.top_p == 0.0f; }

// Block (part, draw).
__global__ void __launch_bounds__(kPartThreads) histogram_kernel(Sample op, Found found) {
  SHARED_ARRAY(unsigned, low, [kBins]);   // sums of e's lower 20 bits: kPart of them stay below 2^32
  SHARED_ARRAY(unsigned, high, [kBins]);  // and of the bits above
  SHARED_ARRAY(unsigned, count, [kBins]);
  const Draw draw = op.draws[blockIdx.y];
  if (is_greedy(draw)) return;
  const int first = static_cast<int>(blockIdx.x) * kPart, n = min(kPart, static_cast<int>(op.logits.n_col) - first);
  const int thread = static_cast<int>(threadIdx.x);
  const float max = warp_best(found.parts + std::int64_t{blockIdx.y} * found.n_part, found.n_part).best;
  for (int i = thread; i < kBins; i += kPartThreads) low[i] = high[i] = count[i] = 0;
  __syncthreads();
  each(thread, n, kPartThreads, Row{op.logits.data + draw.row * op.logits.n_col + first, n, max}, [&](int, float x) {
    const float e = exp_negative(x);
    const unsigned bin = __float_as_uint(e) >> kBinShift;
    const Mass mass = fixed(e);
    atomicAdd(&low[bin], static_cast<unsigned>(mass) & 0xfffffu);
    atomicAdd(&high[bin], static_cast<unsigned>(mass >> 20));
    if (draw.top_k > 0) atomicAdd(&count[bin], 1u);
  });
  __syncthreads();
  Mass* const bins = found.bins + std::int64_t{blockIdx.y} * 2 * kBins;
  for (int i = thread; i < kBins; i += kPartThreads) {
    if (const Mass mass = (Mass{high[i]} << 20) + low[i]) atomicAdd(&bins[i], mass);
    if (count[i] > 0) atomicAdd(&bins[kBins + i], Mass{count[i]});
  }
}

// Shared memory of the block of a draw.
struct Shared {
  Mass sums[kWarps];
  Mass bins[kFineBins];
  float gathered[kMostGathered];
  int n_gathered;
};

struct Place {
  int index;
  Mass before;  // the sum in front of it
};

// The first i of 0 .. n - 1 up to which, it included, the sum of weigh(i, load(i)) exceeds target(sum of all), which must be
// less than that sum. Each round narrows it down to what one warp has added up.
template <class Load, class Weigh, class Target>
__device__ Place find(int n, const Load& load, const Weigh& weigh, const Target& target, Mass (&sums)[kWarps]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = threadIdx.x % 32;
  Mass whole_target = 0, left = 0;
  int first = 0, size = n;
  for (bool first_round = true;; first_round = false) {
    const int part = (size + kWarps - 1) / kWarps;
    Mass sum = 0;
    each(first + warp * part + lane, min(first + (warp + 1) * part, first + size), 32, load,
         [&](int i, auto value) { sum += weigh(i, value); });
    sum = warp_sum(sum);
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    if (first_round) {
      Mass total = 0;
      for (const Mass s : sums) total += s;
      left = whole_target = target(total);
    }
    int chosen = 0;
    while (chosen < kWarps - 1 && sums[chosen] <= left) left -= sums[chosen++];
    first += chosen * part;
    size = min(part, size - chosen * part);
    __syncthreads();
    if (part <= 1) return {first, whole_target - left};
  }
}

// Over the block, in every thread.
__device__ Mass block_sum(Mass x, Mass (&sums)[kWarps]) {
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
  __syncthreads();
  Mass total = 0;
  for (const Mass s : sums) total += s;
  __syncthreads();
  return total;
}

// An x below it has e^x < e.
__device__ float lower_bound_of_log(float e) { return e < 1e-30f ? -kInfinity : logf(e) - 1e-3f; }

// The smallest e that is needed for the sum of weigh(e), from the largest e down, to reach `wanted`, at least 1; of them all if
// they do not reach it. bins: those sums by range of e.
template <class Weigh>
__device__ float smallest_needed(const Row& row, const Mass* bins, Mass wanted, const Weigh& weigh, Shared& shared) {
  const auto from_the_top = [&](const Mass* of, int n) {
    const Place place = find(
        n, [=](int i) { return of[n - 1 - i]; }, [](int, Mass mass) { return mass; },
        [&](Mass total) { return min(wanted, total) - 1; }, shared.sums);
    wanted -= place.before;
    return static_cast<unsigned>(n - 1 - place.index);
  };
  unsigned bits = from_the_top(bins, kBins);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) shared.n_gathered = 0;
  __syncthreads();
  const float lowest = lower_bound_of_log(__uint_as_float(bits << kBinShift));
  each(thread, row.n, kThreads, row, [&](int, float x) {
    if (x < lowest) return;
    const float e = exp_negative(x);
    if (__float_as_uint(e) >> kBinShift != bits) return;
    const int slot = atomicAdd(&shared.n_gathered, 1);
    if (slot < kMostGathered) shared.gathered[slot] = e;
  });
  __syncthreads();
  const bool all_gathered = shared.n_gathered <= kMostGathered;
  const int n = all_gathered ? shared.n_gathered : row.n;
  for (int shift = kFineShift;; shift = 0) {
    const int width = shift > 0 ? kBinShift - kFineShift : kFineShift;
    for (int i = thread; i < 1 << width; i += kThreads) shared.bins[i] = 0;
    __syncthreads();
    for (int i = thread; i < n; i += kThreads) {
      const float e = all_gathered ? shared.gathered[i] : exp_negative(row(i));
      if (__float_as_uint(e) >> (shift + width) != bits) continue;
      atomicAdd(&shared.bins[__float_as_uint(e) >> shift & ((1u << width) - 1)], weigh(e));
    }
    __syncthreads();
    bits = bits << width | from_the_top(shared.bins, 1 << width);
    if (shift == 0) return __uint_as_float(bits);
  }
}

// The smallest e with e / divisor >= p; infinity if there is none.
__device__ float smallest_with(float p, float divisor) {
  unsigned low = 1, high = __float_as_uint(1.0f);
  if (__fdiv_rn(1.0f, divisor) < p) return kInfinity;
  while (low < high) {
    const unsigned middle = (low + high) / 2;
    if (__fdiv_rn(__uint_as_float(middle), divisor) < p) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return __uint_as_float(high);
}

// Tokens stay from `above` on, and from `cut` on if their id is at most `last`.
struct Kept {
  float cut, above;
  int last;
};

// Of the tokens whose score is at least `cut` the best top_k, of equals below `above` those with the lowest ids.
template <class Score>
__device__ Kept lowest_ids(const Row& row, const Score& score, float cut, float above, int top_k, Shared& shared) {
  Mass better = 0;
  each(threadIdx.x, row.n, kThreads, row, [&](int, float x) { better += score(x) >= above; });
  const Mass left = static_cast<Mass>(top_k) - block_sum(better, shared.sums);
  const auto is_equal = [&](int, float x) { return static_cast<Mass>(score(x) >= cut && score(x) < above); };
  const Place last = find(
      row.n, row, is_equal, [=](Mass equal) { return min(left, equal) - 1; }, shared.sums);
  return {cut, above, last.index};
}

// By e. CPU code compares p = e / divisor: of several e with the same p all stay or none.
__device__ Kept kept_tokens(const Row& row, const Draw& draw, const Mass* bins, Shared& shared) {
  Mass total = 0;
  for (int i = threadIdx.x; i < kBins; i += kThreads) total += bins[i];
  total = block_sum(total, shared.sums);
  const float divisor = static_cast<float>(static_cast<double>(total) * 0x1p-39);
  float least = fmaxf(draw.min_p * __fdiv_rn(1.0f, divisor), __uint_as_float(1u));
  if (draw.top_p < 1.0f) {
    const auto wanted = static_cast<Mass>(ceil(static_cast<double>(draw.top_p) * static_cast<double>(total)));
    least = fmaxf(least, __fdiv_rn(smallest_needed(row, bins, max(wanted, Mass{1}), fixed, shared), divisor));
  }
  if (draw.top_k > 0) {
    const auto one = [](float) { return Mass{1}; };
    const float p = __fdiv_rn(smallest_needed(row, bins + kBins, static_cast<Mass>(draw.top_k), one, shared), divisor);
    if (p >= least) {
      const float next = __uint_as_float(__float_as_uint(p) + 1u);
      return lowest_ids(row, exp_negative, smallest_with(p, divisor), smallest_with(next, divisor), draw.top_k, shared);
    }
  }
  const float cut = smallest_with(least, divisor);
  return {cut, cut, 0};
}

// The block of a draw.
__global__ void __launch_bounds__(kThreads) draw_kernel(Sample op, Found found) {
  SHARED_ARRAY(Shared, block, [1]);
  Shared& shared = block[0];
  const Draw draw = op.draws[blockIdx.x];
  const int n = static_cast<int>(op.logits.n_col);
  const Part best = warp_best(found.parts + std::int64_t{blockIdx.x} * found.n_part, found.n_part);
  const Row row{op.logits.data + draw.row * op.logits.n_col, n, best.best};
  std::int32_t* const token = op.tokens + blockIdx.x;
  if (best.bad != INT_MAX || best.best == -kInfinity) {
    if (threadIdx.x > 0) return;
    const int reason = best.bad != INT_MAX && std::isnan(row.logits[best.bad]) ? NoToken::kNan : NoToken::kInfinity;
    *token = best.bad == INT_MAX ? NoToken::kNoneLeft : reason - 2 * best.bad;
    return;
  }
  const bool greedy = is_greedy(draw);
  Kept kept{0.0f, 0.0f, 0};
  if (!greedy) {
    kept = kept_tokens(row, draw, found.bins + std::int64_t{blockIdx.x} * 2 * kBins, shared);
  } else if (draw.top_k > 0) {
    kept = lowest_ids(
        row, [](float x) { return x; }, 0.0f, kInfinity, draw.top_k, shared);
  }
  const float lowest = greedy ? 0.0f : lower_bound_of_log(kept.cut);
  const auto weigh = [&](int i, float x) {
    if (x < lowest) return Mass{0};
    const float score = greedy ? x : exp_negative(x);
    if (score < kept.cut || (score < kept.above && i > kept.last)) return Mass{0};
    if (greedy) return Mass{1};
    return fixed(draw.temperature == 1.0f ? score : exp_negative(__fdiv_rn(x, draw.temperature)));
  };
  const Place drawn = find(
      n, row, weigh, [&](Mass total) { return __umul64hi(draw.random, total); }, shared.sums);
  if (threadIdx.x == 0) *token = drawn.index;
}

}  // namespace

void sample(cudaStream_t stream, Scratch& scratch, const Sample& all) {
  Found found{};
  found.n_part = static_cast<int>((all.logits.n_col + kPart - 1) / kPart);
  constexpr std::size_t kBinsBytes = 2 * kBins * sizeof(Mass);  // of a draw, as all below
  const std::size_t bytes = kBinsBytes + found.n_part * sizeof(Part);
  const auto at_once = std::max<std::int64_t>(1, static_cast<std::int64_t>(kSampleScratch / bytes));
  for (std::int64_t first = 0; first < all.n_draw; first += at_once) {
    Sample op = all;
    op.n_draw = std::min(at_once, all.n_draw - first);
    op.draws += first, op.tokens += first;
    const auto n_draw = static_cast<std::size_t>(op.n_draw);
    const Scratch::Use use = scratch.use(stream, n_draw * bytes);
    found.bins = static_cast<Mass*>(use.data());
    found.parts = reinterpret_cast<Part*>(static_cast<std::byte*>(use.data()) + n_draw * kBinsBytes);
    const dim3 parts(static_cast<unsigned>(found.n_part), static_cast<unsigned>(n_draw));
    launch({parts, kPartThreads, 0, stream}, penalise_kernel, op, found);
    launch({parts, kPartThreads, 0, stream}, histogram_kernel, op, found);
    launch({dim3(static_cast<unsigned>(n_draw)), kThreads, 0, stream}, draw_kernel, op, found);
  }
}

}  // namespace rwkv::cuda
