// SPDX-License-Identifier: Apache-2.0
// Token shift and RWKV-6's decay of CUDA against double-precision loops.
#include "kernels/cuda/pointwise.h"

#include <memory>

#include "cuda/device_array.h"
#include "kernels/plain_token_shift.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

// One call for n_output outputs, the odd ones of which have a mu_row.
struct Shift {
  std::vector<std::int32_t> offsets{0};
  std::int64_t n;
  std::vector<float> x;
  std::vector<std::vector<float>> last_x, mu, mu_row, out;  // last_x: [n_seq], what it was before
  std::vector<std::vector<float>> remembered;               // [n_seq], what it is after

  // misaligned: last_x begins 4 bytes after a multiple of 16
  Shift(std::vector<int> lengths, std::int64_t n_col, int n_output, bool remember = true, bool misaligned = false) : n(n_col) {
    for (const int length : lengths) offsets.push_back(offsets.back() + length);
    const std::int64_t n_row = offsets.back(), pad = misaligned ? 1 : 0;
    x = floats(n_row * n, 10);
    std::vector<std::unique_ptr<DeviceArray<float>>> last, inputs, outputs;
    std::vector<float*> pointers;
    for (std::uint32_t s = 0; s < lengths.size(); ++s) {
      last_x.push_back(floats(n, 100 + s));
      std::vector<float> padded(pad, kNan);
      padded.insert(padded.end(), last_x.back().begin(), last_x.back().end());
      last.push_back(std::make_unique<DeviceArray<float>>(padded));
      pointers.push_back(last.back()->data() + pad);
    }
    std::vector<TokenShift::Output> wanted;
    const auto input = [&](const std::vector<float>& values) {
      return inputs.emplace_back(std::make_unique<DeviceArray<float>>(values))->data();
    };
    for (int o = 0; o < n_output; ++o) {
      mu.push_back(floats(n, 200 + o));
      mu_row.push_back(o % 2 ? floats(n_row * n, 300 + o) : std::vector<float>());
      outputs.push_back(std::make_unique<DeviceArray<float>>(nans(n_row * n)));
      wanted.push_back({input(mu[o]), outputs[o]->data(), o % 2 ? input(mu_row[o]) : nullptr});
    }
    const DeviceArray<std::int32_t> rows_of(offsets);
    const DeviceArray<float*> slots(pointers);
    const Batch batch{static_cast<std::int64_t>(lengths.size()), n_row, rows_of.data()};
    cuda::token_shift(nullptr, batch, {{input(x), n_row, n}, slots.data(), wanted, remember});
    for (const auto& output : outputs) out.push_back(output->values());
    for (const auto& slot : last) {
      const auto values = slot->values();
      remembered.emplace_back(values.begin() + pad, values.end());
    }
  }

  void expect_outputs() const {
    for (std::size_t o = 0; o < out.size(); ++o) {
      const float* const more = mu_row[o].empty() ? nullptr : mu_row[o].data();
      ASSERT_NO_FATAL_FAILURE(
          expect_near(out[o], plain_token_shift(offsets, x, n, mu[o], more, last_x), (more ? 4 : 1) * kTokenShift, 0))
          << "output " << o << " of " << n;
    }
  }

  // The last row of each sequence; what was there before for one without rows.
  void expect_remembered() const {
    for (std::size_t s = 0; s < last_x.size(); ++s) {
      const auto end = x.begin() + offsets[s + 1] * n;
      const auto expected = offsets[s] == offsets[s + 1] ? last_x[s] : std::vector<float>(end - n, end);
      EXPECT_EQ(remembered[s], expected) << "sequence " << s << " of " << n;
    }
  }
};

TEST(CudaTokenShift, MixesEachRowWithTheOneBeforeInItsSequence) {
  for (const std::int64_t n : {1, 7, 16, 33, 130, 512, 516}) {
    const Shift shift({1, 4, 1, 2}, n, 2);
    shift.expect_outputs();
    shift.expect_remembered();
  }
}

TEST(CudaTokenShift, TakesOneSequenceAndManyOfOneRow) {
  for (const auto& lengths : {std::vector{1}, {5}, {1, 1, 1, 1, 1}}) {
    const Shift shift(lengths, 24, 1);
    shift.expect_outputs();
    shift.expect_remembered();
  }
}

TEST(CudaTokenShift, GuessesNoWrongSequenceWhereSomeHaveNoRows) {
  const Shift shift({0, 2, 0, 0, 1, 3, 0}, 12, 1);
  shift.expect_outputs();
  shift.expect_remembered();
}

TEST(CudaTokenShift, TakesMoreOutputsThanALaunchAndRemembersAfterTheLast) {
  const Shift shift({2, 1}, 20, 19);
  shift.expect_outputs();
  shift.expect_remembered();
}

TEST(CudaTokenShift, RemembersNothingUnlessAsked) {
  const Shift shift({2, 1}, 20, 1, false);
  shift.expect_outputs();
  EXPECT_EQ(shift.remembered, shift.last_x);
}

TEST(CudaTokenShift, TakesStatesThatAreNotAligned) {
  const Shift shift({2, 1}, 20, 2, true, true);
  shift.expect_outputs();
  shift.expect_remembered();
}

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
