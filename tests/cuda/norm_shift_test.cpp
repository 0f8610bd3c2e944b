// SPDX-License-Identifier: Apache-2.0
// LayerNorm with token shift of CUDA against double-precision loops.
#include "kernels/cuda/norm_shift.h"

#include <memory>

#include "cuda/device_array.h"
#include "cuda/device_slot.h"
#include "kernels/plain_norm_shift.h"

namespace rwkv::test {
namespace {

using Floats = DeviceArray<float>;

struct Found {
  std::vector<std::vector<float>> out;  // the last one is h
  std::vector<float> difference;        // empty if it was not wanted
  std::vector<std::vector<float>> last_x;
};

// misaligned: last_x begins 4 bytes after a multiple of 16
Found norm_shift(const NormShiftInputs& in, int n_mixed, bool wants_difference = true, bool misaligned = false) {
  const std::int64_t all = in.n_row() * in.n, pad = misaligned ? 1 : 0;
  std::vector<std::vector<float>> padded = in.last_x;
  for (auto& last : padded) last.insert(last.begin(), pad, kNan);
  const DeviceSlot last_x(padded);
  std::vector<float*> slots;
  for (const auto& last : last_x.pointers()) slots.push_back(last + pad);
  const DeviceArray<float*> slot_pointers(slots);
  std::vector<std::unique_ptr<Floats>> mu, out;
  std::vector<NormShift::Output> outputs;
  for (int o = 0; o <= n_mixed; ++o) {
    if (o < n_mixed) mu.push_back(std::make_unique<Floats>(in.mu(o)));
    out.push_back(std::make_unique<Floats>(nans(all)));
    outputs.push_back({o < n_mixed ? mu.back()->data() : nullptr, out.back()->data()});
  }
  const Floats x(in.x), weight(in.weight), bias(in.bias), difference(nans(all));
  const DeviceArray<std::int32_t> offsets(in.offsets);
  cuda::norm_shift(nullptr, {in.n_seq(), in.n_row(), offsets.data()},
                   {{x.data(), in.n_row(), in.n},
                    weight.data(),
                    bias.data(),
                    1e-5f,
                    slot_pointers.data(),
                    outputs,
                    wants_difference ? difference.data() : nullptr});
  Found found;
  for (const auto& output : out) found.out.push_back(output->values());
  if (wants_difference) found.difference = difference.values();
  found.last_x = last_x.values();
  for (auto& last : found.last_x) last.erase(last.begin(), last.begin() + pad);
  return found;
}

void expect_plain(const NormShiftInputs& in, const Found& found) {
  const int n_mixed = static_cast<int>(found.out.size()) - 1;
  for (int o = 0; o < n_mixed; ++o) {
    ASSERT_NO_FATAL_FAILURE(expect_near(found.out[o], in.mixed(in.mu(o)), kNormShift, 0)) << "output " << o;
  }
  ASSERT_NO_FATAL_FAILURE(expect_near(found.out[n_mixed], in.h(), kNormAbsolute, kNormRelative));
  if (!found.difference.empty()) {
    ASSERT_NO_FATAL_FAILURE(expect_near(found.difference, in.difference(), kNormShift, 0));
  }
  for (std::int64_t s = 0; s < in.n_seq(); ++s) {
    EXPECT_EQ(found.last_x[s], in.remembered(s, found.out[n_mixed])) << "sequence " << s;
  }
}

// A block has 256 or 1,024 channels of a row and keeps 1,024 or 4,096 numbers of it.
TEST(CudaNormShift, MixesEachRowWithTheOneBeforeInItsSequence) {
  for (const std::int64_t n : {1, 7, 33, 130, 257, 1025, 1032}) {
    const NormShiftInputs in({1, 3, 1}, n);
    ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, 2))) << n;
  }
}

TEST(CudaNormShift, TakesRowsThatNoBlockKeeps) {
  const NormShiftInputs in({1, 2}, 4104);
  ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, 1)));
}

TEST(CudaNormShift, TakesOneSequenceAndManyOfOneRow) {
  for (const auto& lengths : {std::vector{1}, {5}, {1, 1, 1, 1, 1}}) {
    const NormShiftInputs in(lengths, 24);
    ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, 1)));
  }
}

// More rows than have several blocks each.
TEST(CudaNormShift, TakesManyRows) {
  const NormShiftInputs in({1, 66, 3}, 1028);
  ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, 1)));
}

TEST(CudaNormShift, GuessesNoWrongSequenceWhereSomeHaveNoRows) {
  const NormShiftInputs in({0, 2, 0, 0, 1, 3, 0}, 12);
  ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, 1)));
}

TEST(CudaNormShift, TakesAsManyOutputsAsItMayHave) {
  const NormShiftInputs in({2, 1}, 20);
  ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, kMostShifts - 1, false)));
}

TEST(CudaNormShift, TakesStatesThatAreNotAligned) {
  const NormShiftInputs in({2, 1}, 20);
  ASSERT_NO_FATAL_FAILURE(expect_plain(in, norm_shift(in, 1, true, true)));
}

TEST(CudaNormShift, NanTouchesItsOwnAndTheNextRowOfItsSequenceOnly) {
  NormShiftInputs in({3, 2}, 21);
  in.x[21 + 20] = kNan;  // the second row of the first sequence
  const auto out = norm_shift(in, 1).out[0];
  for (int i = 0; i < 5 * 21; ++i) EXPECT_EQ(std::isnan(out[i]), i / 21 == 1 || i / 21 == 2) << "row " << i / 21;
}

}  // namespace
}  // namespace rwkv::test
