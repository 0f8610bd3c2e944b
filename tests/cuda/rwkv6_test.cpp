// SPDX-License-Identifier: Apache-2.0
// RWKV-6's decay of CUDA against double-precision loops.
#include "kernels/cuda/rwkv6.h"

#include "cuda/device_array.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

// exp(-exp(z)): an error of 2^-23 in e^z is one of e^z 2^-23 in the result, relative to it; at most 0.37 2^-23 absolute.
TEST(CudaDecay, EqualsTwoExponentials) {
  for (const std::int64_t n : {1, 127, 128, 300}) {
    auto z = floats(n, 1, 3.0f, -2.0f);
    if (n > 3) z[0] = -100.0f, z[1] = 100.0f, z[2] = kNan;
    const DeviceArray<float> values(z);
    cuda::decay(nullptr, {values.data(), 1, n});
    const auto found = values.values();
    for (std::int64_t i = 0; i < n; ++i) {
      if (std::isnan(z[i])) {
        EXPECT_TRUE(std::isnan(found[i]));
      } else {
        EXPECT_NEAR(found[i], std::exp(-std::exp(double(z[i]))), 4 * kUlp) << z[i];
      }
    }
  }
}

}  // namespace
}  // namespace rwkv::test
