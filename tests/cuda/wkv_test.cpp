// SPDX-License-Identifier: Apache-2.0
// WKV of versions 4, 5 and 6 of CUDA over ragged batches against double-precision loops.
#include "cuda/device_array.h"
#include "cuda/device_slot.h"
#include "kernels/cuda/rwkv4.h"
#include "kernels/cuda/rwkv5.h"
#include "kernels/plain_wkv.h"

namespace rwkv::test {
namespace {

using Floats = DeviceArray<float>;

void wkv(Wkv4Inputs& in) {
  const DeviceArray<std::int32_t> offsets(in.ragged.offsets);
  const DeviceSlot aa(in.ragged.arrays[0]), bb(in.ragged.arrays[1]), pp(in.ragged.arrays[2]);
  const Floats r(in.r), k(in.k), v(in.v), w(in.w), u(in.u), out(in.out);
  const auto rows = [&](const Floats& x) { return Rows{x.data(), in.ragged.n_row(), in.att}; };
  cuda::wkv4(nullptr, {in.ragged.n_seq(), in.ragged.n_row(), offsets.data()},
             {rows(r), rows(k), rows(v), w.data(), u.data(), aa.data(), bb.data(), pp.data(), rows(out)});
  in.out = out.values(), in.ragged.arrays = {aa.values(), bb.values(), pp.values()};
}

void wkv(LinearInputs& in, DType state = DType::f32) {
  const DeviceArray<std::int32_t> offsets(in.ragged.offsets);
  const DeviceSlot s(in.ragged.arrays[0], state);
  const Floats r(in.r), k(in.k), v(in.v), w(in.w), u(in.u), out(in.out);
  const auto rows = [&](const Floats& x) { return Rows{x.data(), in.ragged.n_row(), in.att}; };
  cuda::linear_attention(
      nullptr, {in.ragged.n_seq(), in.ragged.n_row(), offsets.data()},
      {in.att / in.size, rows(r), rows(k), rows(v), w.data(), in.op.w_stride, u.data(), s.states(), rows(out)});
  in.out = out.values(), in.ragged.arrays[0] = s.values();
}

TEST(CudaWkv, Version4EqualsPlainLoops) {
  for (const std::int64_t n : {1, 15, 64, 131}) {
    Wkv4Inputs in(n);
    const auto start = in.ragged.arrays;
    wkv(in);
    ASSERT_NO_FATAL_FAILURE(expect_wkv4(in, start)) << n;
  }
}

// Lengths around the number of tokens that are loaded together: 8.
TEST(CudaWkv, Version4EqualsPlainLoopsOverManyTokens) {
  for (const std::int64_t n : {5, 70}) {
    Wkv4Inputs in(n, 2.0f, {1, 7, 8, 9, 100});
    const auto start = in.ragged.arrays;
    wkv(in);
    ASSERT_NO_FATAL_FAILURE(expect_wkv4(in, start)) << n;
  }
}

TEST(CudaWkv, Version4StartsFromTheInitialState) {
  Wkv4Inputs in(33);
  for (auto& aa : in.ragged.arrays[0]) std::ranges::fill(aa, 0.0f);
  for (auto& bb : in.ragged.arrays[1]) std::ranges::fill(bb, 0.0f);
  for (auto& pp : in.ragged.arrays[2]) std::ranges::fill(pp, -1e30f);
  const auto start = in.ragged.arrays;
  wkv(in);
  expect_wkv4(in, start);
}

// As on the CPU: weighted means lie between the smallest and the largest v, whatever rounding k costs.
TEST(CudaWkv, Version4StaysFiniteForKeysOfSizeTenThousand) {
  Wkv4Inputs in(35, 1e4f);
  std::ranges::fill(in.r, 1.0f);
  for (auto& aa : in.ragged.arrays[0]) std::ranges::fill(aa, 1.0f);
  wkv(in);
  for (const float y : in.out) ASSERT_LE(std::abs(y), 5.0f);
  for (const auto& slot : in.ragged.arrays) {
    for (const auto& sequence : slot) {
      for (const float x : sequence) ASSERT_TRUE(std::isfinite(x));
    }
  }
}

TEST(CudaWkv, Version4PassesNanOnInItsChannel) {
  Wkv4Inputs in(20);
  in.k[1 * 20 + 3] = kNan;   // first row of the second sequence
  in.v[7 * 20 + 19] = kNan;  // second row of the third
  std::ranges::fill(in.out, 1.0f);
  wkv(in);
  for (int row = 0; row < 9; ++row) {
    for (int c = 0; c < 20; ++c) {
      const bool expected = (c == 3 && row >= 1 && row < 6) || (c == 19 && row >= 7);
      EXPECT_EQ(std::isnan(in.out[row * 20 + c]), expected) << "row " << row << " channel " << c;
    }
  }
}

void expect_equals_plain_loops(LinearInputs& in, double state = 2e-6) {
  const auto start = in.ragged.arrays[0];
  wkv(in);
  ASSERT_NO_FATAL_FAILURE(expect_linear(in, start, state)) << in.size;
}

TEST(CudaWkv, Version5EqualsPlainLoopsWithOneDecayForAllTokens) {
  for (const std::int64_t size : {1, 3, 20, 32, 64, 70, 128}) {
    LinearInputs in(2, size, false, {2, 11});
    ASSERT_NO_FATAL_FAILURE(expect_equals_plain_loops(in));
  }
}

// Lengths around the number of tokens that are staged together: 8.
TEST(CudaWkv, Version6EqualsPlainLoopsWithADecayPerToken) {
  for (const std::int64_t size : {1, 20, 32, 64, 128}) {
    LinearInputs in(1, size, true, {1, 8, 17});
    ASSERT_NO_FATAL_FAILURE(expect_equals_plain_loops(in));
  }
}

// Decay 0 forgets all; 1 keeps all, where 100 tokens make a state of size 10, each rounded by up to 5e-7.
TEST(CudaWkv, Version6EqualsPlainLoopsOverManyTokensAtBothEndsOfTheDecay) {
  for (const float decay : {0.0f, 1.0f}) {
    LinearInputs in(1, 64, true, {100});
    std::ranges::fill(in.w, decay);
    ASSERT_NO_FATAL_FAILURE(expect_equals_plain_loops(in, decay == 1.0f ? 1e-5 : 2e-6)) << decay;
  }
}

// Heads of 20 are read and rounded at every token.
TEST(CudaWkv, HalfStatesAreRoundedWhenACallEnds) {
  for (const std::int64_t size : {20, 32, 64, 128}) {
    expect_half_states(LinearInputs(2, size, true, {1, size == 20 ? 1 : 9}), [](auto& in, DType state) { wkv(in, state); });
  }
}

TEST(CudaWkv, Version5PassesNanOnInItsValueChannel) {
  for (const std::int64_t size : {8, 64}) {
    LinearInputs in(2, size, false);
    in.v[3 * in.att + size + 5] = kNan;  // value channel 5 of head 1 in the first row of the third sequence
    std::ranges::fill(in.out, 1.0f);
    wkv(in);
    for (std::int64_t i = 0; i < 9 * in.att; ++i) {
      EXPECT_EQ(std::isnan(in.out[i]), i / in.att >= 3 && i % in.att == size + 5) << i;
    }
  }
}

}  // namespace
}  // namespace rwkv::test
