// SPDX-License-Identifier: Apache-2.0
// WKV of RWKV-7 in chunks of 16 tokens: against double-precision loops, and with the kernel that takes token after token.
#include <algorithm>
#include <cmath>

#include "cuda/device_wkv7.h"
#include "cuda/with_code.h"
#include "cuemu/conformance/conformance.h"
#include "cuemu/conformance/objects.h"

#ifdef CUEMU
#include "cuemu/cuemu.h"
#endif

namespace rwkv::test {
namespace {

// What float32 models may lose of the largest output of a head. Largest seen, of 130 tokens: 1.4e-6, 1.8e-6 where the emulator
// was made to truncate sums as tensor cores do; the kernel that takes token after token: 4.2e-7.
constexpr double kLoss = 1e-5;

class CudaChunkedWkv : public testing::TestWithParam<int> {  // rows of the state of a block
 protected:
  void SetUp() override {
    if (sm() < 80) GTEST_SKIP() << "skipped: needs sm_80";
  }
  static void run(WkvInputs& in, DType state = DType::f32) {
    const DeviceWkv7 on_device(in, state);
    cuda::wkv7_chunked(nullptr, GetParam(), on_device.batch(), on_device.op());
    on_device.read(in);
  }
};

TEST_P(CudaChunkedWkv, OfASequenceEqualsPlainLoops) {
  for (const int length : {1, 2, 15, 16, 17, 33}) {
    WkvInputs in(1, 64, {length});
    make_contracting(in);
    const auto start = in.ragged.arrays[0];
    run(in);
    ASSERT_NO_FATAL_FAILURE(expect_wkv7(in, start)) << length;
  }
}

TEST_P(CudaChunkedWkv, OfARaggedBatchEqualsPlainLoops) {
  WkvInputs in(2, 64, {5, 32, 1, 19});
  make_contracting(in);
  const auto start = in.ragged.arrays[0];
  run(in);
  expect_wkv7(in, start);
}

double loss(const std::vector<float>& found, const std::vector<double>& expected) {
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    const double d = std::abs(found[i] - expected[i]);
    difference = d <= difference ? difference : d;  // NaN stays
  }
  return difference / largest;
}

// Inputs of one head, each hard in its own way, of 70 tokens: 1 / W up to 1.7e4 beside a state that forgets, a state that
// keeps all, both side by side, keys and values that hide the state, a removal of nearly all along one direction again and
// again.
struct Hard {
  const char* name;
  void (*make)(WkvInputs&);
};
const Hard kHard[] = {
    {"typical", [](WkvInputs&) {}},
    {"forgets", [](WkvInputs& in) { std::ranges::fill(in.w, 0.5452f); }},
    {"keeps", [](WkvInputs& in) { std::ranges::fill(in.w, 1.0f); }},
    {"forgets and keeps",
     [](WkvInputs& in) {
       for (std::size_t i = 0; i < in.w.size(); ++i) in.w[i] = i % 3 == 0 ? 1.0f : 0.5452f;
     }},
    {"by turns",
     [](WkvInputs& in) {
       for (std::size_t i = 0; i < in.w.size(); ++i) in.w[i] = i / 64 % 9 < 4 ? 0.9999f : 0.5452f;
     }},
    {"large keys",
     [](WkvInputs& in) {
       for (std::size_t i = 0; i < in.k.size(); ++i) in.k[i] *= i / 64 % 5 == 0 ? 1000.0f : 1.0f;
     }},
    {"removes the same",
     [](WkvInputs& in) {
       std::ranges::fill(in.w, 0.99f);
       for (std::size_t i = 64; i < in.kk.size(); ++i) in.kk[i] = in.kk[i % 64];
       for (std::size_t i = 0; i < in.kk.size(); ++i) in.b[i] = 0.99f * in.kk[i];
     }},
    {"all of one sign",
     [](WkvInputs& in) {
       std::ranges::fill(in.w, 0.99f);
       for (auto* x : {&in.r, &in.k, &in.v, &in.kk, &in.b}) {
         for (float& y : *x) y = std::abs(y);
       }
     }},
};

TEST_P(CudaChunkedWkv, LosesNoMoreThanAFloat32ModelMay) {
  for (const Hard& hard : kHard) {
    WkvInputs in(1, 64, {70});
    make_contracting(in);
    hard.make(in);
    const auto start = in.ragged.arrays[0];
    run(in);
    const PlainWkv expected(in, start);
    const double of_out = loss(in.out, expected.out), of_state = loss(in.ragged.arrays[0][0], expected.s[0]);
    EXPECT_LE(of_out, kLoss) << hard.name;
    EXPECT_LE(of_state, kLoss) << hard.name;
  }
}

TEST_P(CudaChunkedWkv, CarriesTheStateOfTheOtherKernelOnAndBack) {
  WkvInputs in(1, 64, {40});
  make_contracting(in);
  const auto start = in.ragged.arrays[0];
  const DeviceWkv7 on_device(in);
  const std::int32_t ends[] = {0, 3, 24, 29, 40};
  for (int part = 0; part < 4; ++part) {
    const DeviceArray<std::int32_t> offsets({ends[part], ends[part + 1]});
    const Batch batch{1, ends[part + 1], offsets.data()};
    part % 2 == 0 ? cuda::wkv7_serial(nullptr, batch, on_device.op())
                  : cuda::wkv7_chunked(nullptr, GetParam(), batch, on_device.op());
  }
  on_device.read(in);
  expect_wkv7(in, start);
}

TEST_P(CudaChunkedWkv, RoundsHalfStatesWhenACallEnds) {
  WkvInputs in(1, 64, {33});
  make_contracting(in);
  expect_half_states(in, run);
}

TEST_P(CudaChunkedWkv, PassesNanOnInItsHeadFromItsChunk) {
  WkvInputs in(2, 64, {2, 40});
  in.k[(2 + 20) * in.att + 64 + 7] = kNan;  // of head 1 in the second chunk of the second sequence
  run(in);
  for (std::int64_t i = 0; i < 42 * in.att; ++i) {
    const std::int64_t row = i / in.att;
    if (row >= 2 + 20) {
      EXPECT_EQ(std::isnan(in.out[i]), i % in.att >= 64) << i;
    } else if (row < 2 + 16 || i % in.att < 64) {
      EXPECT_FALSE(std::isnan(in.out[i])) << i;
    }
  }
}

// Whose results differ somewhere in their last bits.
bool takes_chunks(std::int64_t size, int length) {
  WkvInputs in(1, size, {length}), serial(1, size, {length});
  const DeviceWkv7 a(in), b(serial);
  cuda::wkv7(nullptr, a.batch(), a.op());
  cuda::wkv7_serial(nullptr, b.batch(), b.op());
  a.read(in), b.read(serial);
  return in.out != serial.out;
}

TEST(CudaChunkedWkvLaunch, IsOfLongSequencesAndHeadsOf64) {
  int device = 0, major = 0, minor = 0;  // of the card: sm() is its code's, which sm_80 and 86 share
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  const bool fast = (major == 8 && minor == 0) || major == 9 || major == 10;
  if (!fast || sm() < 80) GTEST_SKIP() << "skipped: needs sm_80, 90 or 100";
  EXPECT_TRUE(takes_chunks(64, 32));
  EXPECT_FALSE(takes_chunks(64, 31));
  EXPECT_FALSE(takes_chunks(32, 32));
}

#ifdef CUEMU
TEST(CudaChunkedWkvLaunch, IsOfCardsWithFastTf32) {
  for (const int capability : {75, 80, 86, 89, 90, 100, 120}) {
    cuemu::config().sm = capability;
    EXPECT_EQ(takes_chunks(64, 32), capability == 80 || capability == 90 || capability == 100) << capability;
  }
  cuemu::config().sm = 90;
}

TEST(CudaChunkedWkvLaunch, IsOfCodeWithTf32) {
  with_code(75, [] { EXPECT_FALSE(takes_chunks(64, 32)); });
}
#endif

TEST(CudaChunkedWkvLaunch, OfAGraphEqualsThatOfAStream) {
  if (sm() < 80) GTEST_SKIP() << "skipped: needs sm_80";
  WkvInputs in(1, 64, {20}), captured(1, 64, {20});
  const DeviceWkv7 eager(in), replayed(captured);
  const Stream stream;
  const Graph graph(capture(stream, [&] { cuda::wkv7_chunked(stream, 16, replayed.batch(), replayed.op()); }));
  for (int i = 0; i < 2; ++i) {
    cuda::wkv7_chunked(nullptr, 16, eager.batch(), eager.op());
    check(cudaGraphLaunch(graph, stream));
  }
  eager.read(in), replayed.read(captured);
  EXPECT_EQ(captured.out, in.out);
  EXPECT_EQ(captured.ragged.arrays, in.ragged.arrays);
}

INSTANTIATE_TEST_SUITE_P(Rows, CudaChunkedWkv, testing::Values(16, 32), testing::PrintToStringParamName());

}  // namespace
}  // namespace rwkv::test
