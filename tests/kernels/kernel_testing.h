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
#include "kernels/ragged.h"
#include "kernels/values.h"

namespace rwkv::test {

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
