// SPDX-License-Identifier: Apache-2.0
// Kernels of the CPU under test: one fixture that runs a test on every instruction set of this machine.
#pragma once
#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <string>
#include <vector>

#include "kernels/cpu/device.h"
#include "kernels/cpu/table.h"
#include "kernels/values.h"

namespace rwkv::test {

// A ragged batch whose sequences keep one array each.
struct Ragged {
  std::vector<std::int32_t> offsets{0};
  std::vector<std::vector<std::vector<float>>> arrays;  // [slot][sequence]
  std::vector<std::vector<float*>> pointers;            // [slot][sequence]

  explicit Ragged(std::initializer_list<int> lengths) {
    for (const int n : lengths) offsets.push_back(offsets.back() + n);
  }
  [[nodiscard]] std::int64_t n_row() const { return offsets.back(); }
  [[nodiscard]] std::int64_t n_seq() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  [[nodiscard]] Batch batch() const { return {n_seq(), n_row(), offsets.data()}; }

  // Adds a slot of n random floats per sequence.
  float* const* slot(std::int64_t n, std::uint32_t seed, float scale = 1.0f, float mean = 0.0f) {
    std::vector<std::vector<float>> values;
    std::vector<float*> at;
    for (std::int64_t s = 0; s < n_seq(); ++s) values.push_back(floats(n, seed + static_cast<std::uint32_t>(s), scale, mean));
    arrays.push_back(std::move(values));
    for (auto& v : arrays.back()) at.push_back(v.data());
    pointers.push_back(std::move(at));
    return pointers.back().data();
  }
};

inline std::vector<std::int64_t> instruction_sets() {
  std::vector<std::int64_t> sets;
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) sets.push_back(left & -left);
  return sets;
}

class EveryInstructionSet : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    table = cpu::make_table();
    ASSERT_STREQ(table.name, hwy::TargetName(GetParam()));
  }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  cpu::CpuDevice device{3};
  KernelTable table{};
};

inline std::string set_name(const testing::TestParamInfo<std::int64_t>& info) { return hwy::TargetName(info.param); }

}  // namespace rwkv::test

#define RWKV_EVERY_INSTRUCTION_SET(suite) INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::ValuesIn(instruction_sets()), set_name)
