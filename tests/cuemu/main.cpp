// SPDX-License-Identifier: Apache-2.0
// main() of tests on the emulator: CUEMU_ORDER is forward, reverse or the seed of a random order. A test fails for a report
// that it did not take, the program for what was not released.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuemu/cuemu.h"

extern "C" const char* __tsan_default_options() { return "halt_on_error=1:exitcode=66:report_signal_unsafe=0"; }

// NVIDIA's library keeps some memory where it does not start.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcublasLt"; }

namespace {

class Reports : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo&) override {
    const std::string report = cuemu::take_report();
    if (!report.empty()) ADD_FAILURE() << "cuemu: " << report;
  }
};

void set_order() {
  const char* const text = std::getenv("CUEMU_ORDER");
  const std::string order = text ? text : "forward";
  cuemu::Config& config = cuemu::config();
  config.order = order == "forward" ? cuemu::Order::forward : order == "reverse" ? cuemu::Order::reverse : cuemu::Order::random;
  if (config.order == cuemu::Order::random) config.seed = std::stoull(order);
}

}  // namespace

int main(int argc, char** argv) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";  // TSan is blind after a fork() without exec()
  testing::InitGoogleTest(&argc, argv);
  set_order();
  testing::UnitTest::GetInstance()->listeners().Append(new Reports);
  const int status = RUN_ALL_TESTS();
  const std::string leaks = cuemu::leaks();
  if (leaks.empty()) return status;
  std::fprintf(stderr, "cuemu: not released at the end: %s\n", leaks.c_str());
  return 1;
}
