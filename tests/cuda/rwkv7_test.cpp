// SPDX-License-Identifier: Apache-2.0
// The three steps of RWKV-7 of CUDA against double-precision loops.
#include "kernels/cuda/rwkv7.h"

#include "cuda/device_wkv7.h"
#include "cuemu/conformance/objects.h"

namespace rwkv::test {
namespace {

using Floats = DeviceArray<float>;

void prepare(PrepareInputs& in, bool first_layer) {
  const Floats w(in.w), k(in.k), v(in.v), a(in.a), kk(in.kk), v_first(in.v_first), v_mix(in.v_mix), k_k(in.k_k), k_a(in.k_a);
  const auto rows = [&](const Floats& x) { return Rows{x.data(), in.n_row, in.att}; };
  cuda::prepare7(nullptr, {.n_head = in.att / in.size,
                           .w = rows(w),
                           .k = rows(k),
                           .v = rows(v),
                           .a = rows(a),
                           .kk = rows(kk),
                           .v_first = first_layer ? nullptr : v_first.data(),
                           .v_mix = first_layer ? nullptr : v_mix.data(),
                           .k_k = k_k.data(),
                           .k_a = k_a.data()});
  in.w = w.values(), in.k = k.values(), in.v = v.values(), in.a = a.values(), in.kk = kk.values();
}

TEST(CudaRwkv7, PrepareEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 20, 33, 64, 70, 128}) {
    for (const bool first_layer : {false, true}) {
      const PrepareInputs start(3, size);
      PrepareInputs in = start;
      prepare(in, first_layer);
      ASSERT_NO_FATAL_FAILURE(expect_prepared(in, start, first_layer)) << size;
    }
  }
}

TEST(CudaRwkv7, PrepareOfAZeroKeyGivesAZeroRemovalKey) {
  PrepareInputs in(2, 64);
  std::fill_n(in.k.begin() + 64, 64, 0.0f);  // head 1 of row 0
  prepare(in, true);
  for (int i = 0; i < 128; ++i) EXPECT_EQ(in.kk[i] == 0.0f, i >= 64) << i;
}

TEST(CudaRwkv7, PrepareKeepsNanOfEveryInput) {
  PrepareInputs in(2, 20);
  in.w[5] = in.v[46] = in.a[87] = in.k[20] = kNan;
  prepare(in, false);
  for (int i = 0; i < 160; ++i) {
    EXPECT_EQ(std::isnan(in.w[i]), i == 5) << i;
    EXPECT_EQ(std::isnan(in.v[i]), i == 46) << i;
    EXPECT_EQ(std::isnan(in.kk[i]), i >= 20 && i < 40) << i;
    EXPECT_EQ(std::isnan(in.a[i]), i == 87 || (i >= 20 && i < 40)) << i;
    EXPECT_EQ(std::isnan(in.k[i]), i == 20 || i == 87) << i;
  }
}

void wkv(WkvInputs& in, DType state = DType::f32) {
  const DeviceWkv7 on_device(in, state);
  cuda::wkv7_serial(nullptr, on_device.batch(), on_device.op());
  on_device.read(in);
}

void expect_wkv_equals_plain_loops(WkvInputs& in, double tolerance = 2 * kTolerance7) {
  make_contracting(in);
  const auto start = in.ragged.arrays[0];
  wkv(in);
  ASSERT_NO_FATAL_FAILURE(expect_wkv7(in, start, tolerance)) << in.size;
}

TEST(CudaRwkv7, WkvOfASequenceEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 20, 32, 64, 84, 128}) {
    WkvInputs in(2, size, {20});
    ASSERT_NO_FATAL_FAILURE(expect_wkv_equals_plain_loops(in));
  }
}

// Lengths around the number of tokens that are staged together: 16, 8, 4.
TEST(CudaRwkv7, WkvOfARaggedBatchEqualsPlainLoops) {
  for (const std::int64_t size : {1, 20, 33, 32, 64, 128}) {
    for (const int length : {3, 8, 17}) {
      WkvInputs in(1, size, {length, 1, length + 1});
      ASSERT_NO_FATAL_FAILURE(expect_wkv_equals_plain_loops(in)) << length;
    }
  }
}

// More heads than the device has multiprocessors: a block has more rows of the state.
TEST(CudaRwkv7, WkvOfManyHeadsEqualsPlainLoops) {
  int device = 0, n_multiprocessor = 0;
  cuda::check(cudaGetDevice(&device));
  cuda::check(cudaDeviceGetAttribute(&n_multiprocessor, cudaDevAttrMultiProcessorCount, device));
  for (const std::int64_t size : {20, 32, 64, 128}) {
    WkvInputs in(n_multiprocessor / 2 + 1, size, {17, 3});
    ASSERT_NO_FATAL_FAILURE(expect_wkv_equals_plain_loops(in));
  }
}

// Both ends of what a model can have: exp(-exp(-0.5)) = 0.5452 and 1, where 100 tokens make a state of size 10.
TEST(CudaRwkv7, WkvOfAnyDecayEqualsPlainLoopsOverManyTokens) {
  for (const float decay : {0.5452f, 1.0f}) {
    WkvInputs in(1, 64, {100});
    std::ranges::fill(in.w, decay);
    ASSERT_NO_FATAL_FAILURE(expect_wkv_equals_plain_loops(in, (decay == 1.0f ? 5 : 2) * kTolerance7)) << decay;
  }
}

TEST(CudaRwkv7, WkvPassesNanOnInItsHeadFromItsRow) {
  for (const std::int64_t size : {20, 64}) {
    WkvInputs in(2, size, {2, 10});
    in.k[4 * in.att + size + 7] = kNan;  // a key of head 1 in the third row of the second sequence
    std::ranges::fill(in.out, 1.0f);
    wkv(in);
    for (std::int64_t i = 0; i < 12 * in.att; ++i) EXPECT_EQ(std::isnan(in.out[i]), i / in.att >= 4 && i % in.att >= size) << i;
  }
}

// Heads of 20 are read and rounded at every token.
TEST(CudaRwkv7, WkvRoundsHalfStatesWhenACallEnds) {
  for (const std::int64_t size : {20, 32, 64, 128}) {
    WkvInputs in(2, size, {1, size == 20 ? 1 : 9});
    make_contracting(in);
    expect_half_states(in, [](auto& inputs, DType state) { wkv(inputs, state); });
  }
}

TEST(CudaRwkv7, WkvKeepsNanInAHalfState) {
  WkvInputs in(1, 64, {2});
  in.v[7] = kNan;
  wkv(in, DType::f16);
  for (int i = 0; i < 64 * 64; ++i) EXPECT_EQ(std::isnan(in.ragged.arrays[0][0][i]), i / 64 == 7) << i;
}

TEST(CudaRwkv7, WkvOfAGraphEqualsThatOfAStream) {
  WkvInputs in(2, 64, {3}), captured(2, 64, {3});
  for (int i = 0; i < 2; ++i) wkv(in);
  const DeviceWkv7 on_device(captured);
  const Stream stream;
  const Graph graph(capture(stream, [&] { cuda::wkv7_serial(stream, on_device.batch(), on_device.op()); }));
  for (int i = 0; i < 2; ++i) cuda::check(cudaGraphLaunch(graph, stream));
  on_device.read(captured);
  EXPECT_EQ(captured.out, in.out);
  EXPECT_EQ(captured.ragged.arrays, in.ragged.arrays);
}

std::vector<float> output(const OutputInputs& in, bool in_place = false) {
  const Floats y(in.y), r(in.r), k(in.k), v(in.v), g(in.g), r_k(in.r_k), weight(in.weight), bias(in.bias), out(in.out);
  const Floats& result = in_place ? y : out;
  const auto rows = [&](const Floats& x) { return Rows{x.data(), 3, in.att}; };
  cuda::output7(nullptr, {in.att / in.size, rows(y), rows(r), rows(k), rows(v), rows(g), r_k.data(), weight.data(), bias.data(),
                          64e-5f, rows(result)});
  return result.values();
}

TEST(CudaRwkv7, OutputEqualsPlainLoops) {
  for (const std::int64_t size : {1, 3, 20, 33, 64, 70, 128}) {
    const OutputInputs in(3, size);
    ASSERT_NO_FATAL_FAILURE(expect_near(output(in), in.expected(), kTolerance7, 1e-6)) << size;
  }
}

TEST(CudaRwkv7, OutputMayWriteOverItsInput) {
  for (const std::int64_t size : {20, 64}) {
    const OutputInputs in(2, size);
    ASSERT_NO_FATAL_FAILURE(expect_near(output(in, true), in.expected(), kTolerance7, 1e-6)) << size;
  }
}

TEST(CudaRwkv7, OutputKeepsNanInItsHead) {
  OutputInputs in(2, 20);
  in.y[25] = kNan;
  const auto out = output(in);
  for (int i = 0; i < 120; ++i) EXPECT_EQ(std::isnan(out[i]), i >= 20 && i < 40) << i;
}

void delta_rule(DeltaRuleInputs& in, DType state = DType::f32) {
  const Floats r(in.r), w(in.w), k(in.k), v(in.v), a(in.a), g(in.g), kk(in.kk), v_first(in.v_first), v_mix(in.v_mix);
  const Floats k_k(in.k_k), k_a(in.k_a), r_k(in.r_k), weight(in.weight), bias(in.bias), out(in.out);
  const DeviceSlot s(in.ragged.arrays[0], state);
  const DeviceArray<std::int32_t> offsets(in.ragged.offsets);
  DeltaRule op = in.op();
  op.r.data = r.data(), op.w.data = w.data(), op.k.data = k.data(), op.v.data = v.data(), op.a.data = a.data();
  op.g.data = g.data(), op.kk.data = kk.data(), op.out.data = out.data(), op.s = s.states();
  if (!in.first_layer) op.v_first = v_first.data(), op.v_mix = v_mix.data();
  op.k_k = k_k.data(), op.k_a = k_a.data(), op.r_k = r_k.data(), op.weight = weight.data(), op.bias = bias.data();
  cuda::delta_rule(nullptr, {in.ragged.n_seq(), in.ragged.n_row(), offsets.data()}, op);
  in.out = out.values(), in.ragged.arrays[0] = s.values();
}

void expect_delta_rule_equals_plain_loops(DeltaRuleInputs in) {
  const DeltaRuleInputs start = in;
  delta_rule(in);
  ASSERT_NO_FATAL_FAILURE(expect_delta_rule(in, start)) << "heads of " << in.size;
}

TEST(CudaRwkv7, FewTokensEqualPlainLoops) {
  for (const std::int64_t size : {20, 32, 64}) {
    for (const bool first_layer : {false, true}) {
      ASSERT_NO_FATAL_FAILURE(expect_delta_rule_equals_plain_loops({2, size, {1, 3, 1}, first_layer}));
    }
  }
}

TEST(CudaRwkv7, OneTokenOfEachSequenceEqualsPlainLoops) {
  ASSERT_NO_FATAL_FAILURE(expect_delta_rule_equals_plain_loops({1, 64, {1, 1, 0, 1}}));
}

TEST(CudaRwkv7, FewTokensRoundHalfStatesWhenACallEnds) {
  for (const std::int64_t size : {32, 64}) {
    expect_half_states(DeltaRuleInputs(2, size, {1, 3}, false), [](auto& in, DType state) { delta_rule(in, state); });
  }
}

// One more token than one launch takes.
TEST(CudaRwkv7, ManyTokensEqualPlainLoops) {
  for (const int length : {8, 9}) {
    for (const std::int64_t size : {3, 64}) {
      ASSERT_NO_FATAL_FAILURE(expect_delta_rule_equals_plain_loops({2, size, {length}}));
    }
  }
}

TEST(CudaRwkv7, AZeroKeyRemovesNothing) {
  DeltaRuleInputs in(2, 64, {2});
  std::fill_n(in.k.begin() + 64, 64, 0.0f);  // head 1 of row 0
  ASSERT_NO_FATAL_FAILURE(expect_delta_rule_equals_plain_loops(in));
}

TEST(CudaRwkv7, NanComesOutOfItsHeadFromItsRow) {
  for (const bool in_key : {true, false}) {
    DeltaRuleInputs in(2, 64, {3, 1});
    (in_key ? in.k : in.r)[128 + 64 + 7] = kNan;  // head 1 of row 1; r does not enter the state
    std::ranges::fill(in.out, 1.0f);
    delta_rule(in);
    for (int i = 0; i < 4 * 128; ++i) {
      EXPECT_EQ(std::isnan(in.out[i]), i % 128 >= 64 && (i / 128 == 1 || (in_key && i / 128 == 2))) << i;
    }
  }
}

}  // namespace
}  // namespace rwkv::test
