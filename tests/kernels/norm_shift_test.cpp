// SPDX-License-Identifier: Apache-2.0
// LayerNorm with token shift over ragged batches against double-precision loops.
#include "kernels/kernel_testing.h"
#include "kernels/plain_norm_shift.h"

namespace rwkv::test {
namespace {

class NormShiftKernel : public EveryInstructionSet {
 protected:
  // Outputs 0 and 1 are mixed, 2 is h; beside them the difference.
  struct Found {
    std::vector<std::vector<float>> out;
    std::vector<float> difference;
    std::vector<std::vector<float>> last_x;
  };
  Found run(const NormShiftInputs& in) {
    const std::vector<float> mu[] = {in.mu(0), in.mu(1)};
    Found found{{3, nans(in.n_row() * in.n)}, nans(in.n_row() * in.n), in.last_x};
    std::vector<float*> slots;
    for (auto& last : found.last_x) slots.push_back(last.data());
    const NormShift::Output outputs[] = {
        {mu[0].data(), found.out[0].data()}, {mu[1].data(), found.out[1].data()}, {nullptr, found.out[2].data()}};
    table.common.norm_shift(
        device, {in.n_seq(), in.n_row(), in.offsets.data()},
        {rows(in.x, in.n), in.weight.data(), in.bias.data(), 1e-5f, slots.data(), outputs, found.difference.data()});
    return found;
  }

  void expect_plain(const NormShiftInputs& in) {
    const Found found = run(in);
    ASSERT_NO_FATAL_FAILURE(expect_near(found.out[0], in.mixed(in.mu(0)), kNormShift, 0));
    ASSERT_NO_FATAL_FAILURE(expect_near(found.out[1], in.mixed(in.mu(1)), kNormShift, 0));
    ASSERT_NO_FATAL_FAILURE(expect_near(found.out[2], in.h(), kNormAbsolute, kNormRelative));
    ASSERT_NO_FATAL_FAILURE(expect_near(found.difference, in.difference(), kNormShift, 0));
    for (std::int64_t s = 0; s < in.n_seq(); ++s)
      EXPECT_EQ(found.last_x[s], in.remembered(s, found.out[2])) << "sequence " << s;
  }
};

TEST_P(NormShiftKernel, MixesEachRowWithTheOneBeforeInItsSequence) {
  for (const std::int64_t n : {1, 7, 16, 33, 130, 513, 1100}) {
    ASSERT_NO_FATAL_FAILURE(expect_plain({{1, 4, 1, 2}, n})) << n;
  }
}

// More than one row in a task, tasks that begin within a sequence and with one.
TEST_P(NormShiftKernel, TakesManyRows) {
  ASSERT_NO_FATAL_FAILURE(expect_plain({{1, 90, 6, 1, 40}, 37}));
  ASSERT_NO_FATAL_FAILURE(expect_plain({{301}, 20}));
}

TEST_P(NormShiftKernel, TakesOneSequenceAndManyOfOneRow) {
  ASSERT_NO_FATAL_FAILURE(expect_plain({{1}, 24}));
  ASSERT_NO_FATAL_FAILURE(expect_plain({std::vector<int>(70, 1), 24}));
}

TEST_P(NormShiftKernel, TakesSequencesWithoutRows) { ASSERT_NO_FATAL_FAILURE(expect_plain({{0, 2, 0, 0, 1, 3, 0}, 12})); }

TEST_P(NormShiftKernel, NanTouchesItsOwnAndTheNextRowOfItsSequenceOnly) {
  NormShiftInputs in({3, 2}, 21);
  in.x[21 + 20] = kNan;  // the second row of the first sequence
  Found found = run(in);
  for (int i = 0; i < 5 * 21; ++i) EXPECT_EQ(std::isnan(found.out[0][i]), i / 21 == 1 || i / 21 == 2) << "row " << i / 21;
  in = NormShiftInputs({3, 2}, 21);
  in.x[2 * 21 + 3] = kNan;  // the last one
  found = run(in);
  for (int i = 0; i < 5 * 21; ++i) EXPECT_EQ(std::isnan(found.out[0][i]), i / 21 == 2) << "row " << i / 21;
}

RWKV_EVERY_INSTRUCTION_SET(NormShiftKernel);

}  // namespace
}  // namespace rwkv::test
