// SPDX-License-Identifier: Apache-2.0
// main() of tests on a card. Without one they are skipped, or where RWKV_REQUIRE_DEVICE is "cuda" they fail.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "kernels/cuda/devices.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const rwkv::cuda::Found found = rwkv::cuda::find_devices();
  if (found.n_device > 0) return RUN_ALL_TESTS();
  std::printf("skipped: tests on a card, as there is %s\n", found.why_none.c_str());
  const char* const required = std::getenv("RWKV_REQUIRE_DEVICE");
  return required && std::string_view(required) == "cuda" ? 1 : 0;
}
