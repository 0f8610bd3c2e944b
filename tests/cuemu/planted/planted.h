// SPDX-License-Identifier: Apache-2.0
// Planted bugs: each must be found, by the builds that can, at the line that has it.
#pragma once
#include "cuemu/conformance/conformance.h"
#include "cuemu/cuemu.h"

namespace rwkv::test {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAsan = true, kTsan = false;
#elif defined(__SANITIZE_THREAD__)
inline constexpr bool kAsan = false, kTsan = true;
#else
inline constexpr bool kAsan = false, kTsan = false;
#endif

// The emulator's report of what the statement does has the text.
#define EXPECT_REPORT(statement, text)                           \
  do {                                                           \
    EXPECT_THROW(                                                \
        {                                                        \
          statement;                                             \
          check(cudaDeviceSynchronize());                        \
        },                                                       \
        DeviceError);                                            \
    EXPECT_THAT(cuemu::take_report(), testing::HasSubstr(text)); \
  } while (false)

// The sanitizer ends a process that does the statement, and its report has the regular expression.
#define EXPECT_ASAN(statement, regex) \
  if (kAsan)                          \
  EXPECT_DEATH(                       \
      {                               \
        statement;                    \
        cudaDeviceSynchronize();      \
      },                              \
      regex)
#define EXPECT_TSAN(statement, regex) \
  if (kTsan)                          \
  EXPECT_EXIT(                        \
      {                               \
        statement;                    \
        cudaDeviceSynchronize();      \
      },                              \
      testing::ExitedWithCode(66), regex)

// "planted/memory.cu:12" of the line that a kernel's bug is in.
#define PLANTED_HERE(name) constexpr int name = __LINE__ + 1;

}  // namespace rwkv::test
