// SPDX-License-Identifier: Apache-2.0
// The norms of CUDA against double-precision loops.
#include "kernels/cuda/norm.h"

#include "cuda/device_array.h"
#include "kernels/plain_norm.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

// layer_norm of x, rows of n, into an array that holds NaN, or over x itself.
std::vector<float> layer_norm(const std::vector<float>& x, std::int64_t n, const std::vector<float>& weight,
                              const std::vector<float>& bias, bool in_place = false) {
  const auto n_row = static_cast<std::int64_t>(x.size()) / n;
  const DeviceArray<float> in(x), w(weight), b(bias), out(nans(n_row * n));
  const DeviceArray<float>& result = in_place ? in : out;
  cuda::layer_norm(nullptr, {{in.data(), n_row, n}, w.data(), b.data(), 1e-5f, {result.data(), n_row, n}});
  return result.values();
}

TEST(CudaNorm, LayerNormEqualsPlainLoops) {
  for (const std::int64_t n : {1, 2, 7, 31, 32, 33, 130, 255, 256, 257, 769}) {
    const auto x = floats(5 * n, 1, 3.0f, 0.5f), weight = floats(n, 2, 0.5f, 1.0f), bias = floats(n, 3);
    const auto expected = plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f);
    ASSERT_NO_FATAL_FAILURE(expect_near(layer_norm(x, n, weight, bias), expected, kNormAbsolute, kNormRelative)) << n;
  }
}

TEST(CudaNorm, LayerNormOfOneRowPerAllocation) {
  const auto x = floats(257, 4), weight = floats(257, 5), bias = floats(257, 6);
  expect_near(layer_norm(x, 257, weight, bias), plain_norm(doubles(x), 257, 1, weight.data(), bias.data(), 1e-5f),
              kNormAbsolute, kNormRelative);
}

TEST(CudaNorm, LayerNormMayWriteOverItsInput) {
  const auto x = floats(3 * 300, 7), weight = floats(300, 8), bias = floats(300, 9);
  expect_near(layer_norm(x, 300, weight, bias, true), plain_norm(doubles(x), 300, 1, weight.data(), bias.data(), 1e-5f),
              kNormAbsolute, kNormRelative);
}

// The mean itself is rounded to 1000 * 2^-24 = 6e-5 of the standard deviation; sum of squares minus square of the mean would
// lose 1000^2 * 2^-24 = 0.06.
TEST(CudaNorm, LayerNormLosesLittleToALargeMean) {
  const auto x = floats(4 * 100, 10, 1.0f, 1000.0f), weight = floats(100, 11), bias = floats(100, 12);
  expect_near(layer_norm(x, 100, weight, bias), plain_norm(doubles(x), 100, 1, weight.data(), bias.data(), 1e-5f), 1e-3, 0);
}

TEST(CudaNorm, NanInARowComesOutOfThatRowOnly) {
  auto x = floats(3 * 19, 13);
  x[19 + 18] = kNan;
  const auto out = layer_norm(x, 19, floats(19, 14), floats(19, 15));
  for (int i = 0; i < 57; ++i) EXPECT_EQ(std::isnan(out[i]), i / 19 == 1) << i;
}

}  // namespace
}  // namespace rwkv::test
