// SPDX-License-Identifier: Apache-2.0
// Tensor cores, matrix loads and asynchronous copies: kernels/cuda/ptx.h.
#include <bit>
#include <cmath>

#include "cuemu/conformance/conformance.h"
#include "kernels/cuda/ptx.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

// c [16, 8] += a [16, 16] b^T [8, 16], by fragments read one by one as the layout says.
template <class T>
__global__ void multiply(const T* a, const T* b, float* c) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto pair = [](const T* p) { return *reinterpret_cast<const unsigned*>(p); };
  const T *low = a + 16 * g + 2 * t, *high = low + 16 * 8;
  const unsigned fragment_a[] = {pair(low), pair(high), pair(low + 8), pair(high + 8)};
  const unsigned fragment_b[] = {pair(b + 16 * g + 2 * t), pair(b + 16 * g + 2 * t + 8)};
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[8 * (g + i / 2 * 8) + 2 * t + i % 2];
  cuda::mma_m16n8k16<T>(sums, fragment_a, fragment_b);
  for (int i = 0; i < 4; ++i) c[8 * (g + i / 2 * 8) + 2 * t + i % 2] = sums[i];
}

template <class T>
void expect_products() {
  std::vector<T> a, b;
  for (const float x : floats(256, 1)) a.push_back(T(x));
  for (const float x : floats(128, 2)) b.push_back(T(x));
  const auto c = floats(128, 3);
  const DeviceArray<T> da(a), db(b);
  const DeviceArray<float> dc(c);
  launch({1, 32}, multiply<T>, da.data(), db.data(), dc.data());
  const auto found = dc.values();
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      double sum = c[8 * i + j];
      for (int k = 0; k < 16; ++k) sum += double{static_cast<float>(a[16 * i + k])} * static_cast<float>(b[16 * j + k]);
      // 16 products, exact in float32, and 16 additions that may truncate.
      EXPECT_NEAR(found[8 * i + j], sum, 16 * 8 * 0x1p-23) << i << ' ' << j;
    }
  }
}

TEST(Tensor, MmaOfHalf) { expect_products<__half>(); }

TEST(Tensor, MmaOfBfloat16) {
  if (sm() < 80) GTEST_SKIP() << "skipped: needs sm_80";
  expect_products<__nv_bfloat16>();
}

// The same of numbers that are made tf32: c [16, 8] += a [16, 8] b^T [8, 8].
__global__ void multiply_tf32(const float* a, const float* b, float* c) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto of_a = [&](int row, int k) { return cuda::tf32(a[8 * row + k]); };
  const unsigned fragment_a[] = {of_a(g, t), of_a(g + 8, t), of_a(g, t + 4), of_a(g + 8, t + 4)};
  const unsigned fragment_b[] = {cuda::tf32(b[8 * g + t]), cuda::tf32(b[8 * g + t + 4])};
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[8 * (g + i / 2 * 8) + 2 * t + i % 2];
  cuda::mma_m16n8k8_tf32(sums, fragment_a, fragment_b);
  for (int i = 0; i < 4; ++i) c[8 * (g + i / 2 * 8) + 2 * t + i % 2] = sums[i];
}

// Of a finite number; halves away from zero.
float rounded_to_tf32(float x) {
  int exponent = 0;
  const double mantissa = std::frexp(double{x}, &exponent);
  return static_cast<float>(std::ldexp(std::round(mantissa * 0x1p11), exponent - 11));
}

TEST(Tensor, MmaOfTf32) {
  if (sm() < 80) GTEST_SKIP() << "skipped: needs sm_80";
  const auto a = floats(128, 1), b = floats(64, 2), c = floats(128, 3);
  const DeviceArray<float> da(a), db(b), dc(c);
  launch({1, 32}, multiply_tf32, da.data(), db.data(), dc.data());
  const auto found = dc.values();
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      double sum = c[8 * i + j];
      for (int k = 0; k < 8; ++k) sum += double{rounded_to_tf32(a[8 * i + k])} * rounded_to_tf32(b[8 * j + k]);
      EXPECT_NEAR(found[8 * i + j], sum, 8 * 8 * 0x1p-23) << i << ' ' << j;  // as above, of 8 products
    }
  }
}

__global__ void round_to_tf32(const float* in, unsigned* out) { out[threadIdx.x] = cuda::tf32(in[threadIdx.x]); }

TEST(Tensor, Tf32RoundsHalvesAwayFromZeroAndKeepsInfinityAndNan) {
  if (sm() < 80) GTEST_SKIP() << "skipped: needs sm_80";
  std::vector<float> in = {1.0f, 1.0f + 0x1p-11f, 1.0f + 0x1p-11f - 0x1p-23f, -1.0f - 0x1p-11f, INFINITY, kNan};
  const auto more = floats(32 - static_cast<std::int64_t>(in.size()), 1);
  in.insert(in.end(), more.begin(), more.end());
  const DeviceArray<float> numbers(in);
  const DeviceArray<unsigned> out(32);
  launch({1, 32}, round_to_tf32, numbers.data(), out.data());
  const auto found = out.values();
  for (int i = 0; i < 32; ++i) {
    const float x = std::bit_cast<float>(found[i]);
    EXPECT_EQ(std::isnan(x), std::isnan(in[i])) << i;
    if (std::isnan(x)) continue;
    EXPECT_EQ(found[i] & 0x1fffu, 0u) << i;
    EXPECT_EQ(x, std::isinf(in[i]) ? in[i] : rounded_to_tf32(in[i])) << i;
  }
}

// Matrix j of 8 x 8 holds 64 j + 8 row + column; its rows lie 24 numbers apart.
template <int n, bool transposed>
__global__ void load(unsigned* out) {
  SHARED_ARRAY(unsigned short, rows, [32][24]);
  for (int i = 0; i < 24; ++i) rows[threadIdx.x][i] = static_cast<unsigned short>(i < 8 ? 8 * threadIdx.x + i : 9999);
  __syncwarp();
  unsigned r[n];
  const unsigned lane = threadIdx.x < 8 * n ? threadIdx.x : 0;
  cuda::ldmatrix<n, transposed>(r, rows[lane]);
  for (int j = 0; j < n; ++j) out[n * threadIdx.x + j] = r[j];
}

template <int n, bool transposed>
void expect_loaded() {
  const auto out = run(load<n, transposed>, 32 * n, 32);
  for (int lane = 0; lane < 32; ++lane) {
    for (int j = 0; j < n; ++j) {
      const int line = lane / 4, place = 2 * (lane % 4);
      const unsigned first = 64 * j + (transposed ? 8 * place + line : 8 * line + place);
      EXPECT_EQ(out[n * lane + j], first | (first + (transposed ? 8 : 1)) << 16) << "lane " << lane << ", matrix " << j;
    }
  }
}

TEST(Tensor, Ldmatrix) {
  expect_loaded<1, false>();
  expect_loaded<2, false>();
  expect_loaded<4, false>();
}

TEST(Tensor, LdmatrixTransposed) {
  expect_loaded<1, true>();
  expect_loaded<2, true>();
  expect_loaded<4, true>();
}

// Two stages in flight: tile t + 1 is on its way while tile t is added up. Threads read what others have copied.
constexpr int kTiles = 5;
template <class Word>
__global__ void pipeline(const Word* in, float* out) {
  SHARED_ARRAY(Word, tile, [2][64]);
  const int i = threadIdx.x;
  cuda::cp_async<sizeof(Word)>(&tile[0][i], &in[i]);
  cuda::cp_async_commit();
  float sum = 0.0f;
  for (int t = 0; t < kTiles; ++t) {
    if (t + 1 < kTiles) cuda::cp_async<sizeof(Word)>(&tile[(t + 1) % 2][i], &in[64 * (t + 1) + i]);
    cuda::cp_async_commit();
    cuda::cp_async_wait<1>();
    __syncthreads();
    const auto* const floats = reinterpret_cast<const float*>(&tile[t % 2][63 - i]);
    for (unsigned j = 0; j < sizeof(Word) / 4; ++j) sum += floats[j];
    __syncthreads();
  }
  out[i] = sum;
}

template <class Word>
void expect_pipeline() {
  constexpr int kFloats = sizeof(Word) / 4;
  std::vector<float> values(kTiles * 64 * kFloats);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const DeviceArray<float> in(values), out(64);
  launch({1, 64}, pipeline<Word>, reinterpret_cast<const Word*>(in.data()), out.data());
  const auto found = out.values();
  for (int i = 0; i < 64; ++i) {
    float expected = 0;
    for (int t = 0; t < kTiles; ++t) {
      for (int j = 0; j < kFloats; ++j) expected += values[(64 * t + 63 - i) * kFloats + j];
    }
    EXPECT_EQ(found[i], expected) << i;
  }
}

TEST(Tensor, AsynchronousCopies) {
  expect_pipeline<unsigned>();
  expect_pipeline<uint2>();
  expect_pipeline<uint4>();
}

}  // namespace
}  // namespace rwkv::test
