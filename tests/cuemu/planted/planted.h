// SPDX-License-Identifier: Apache-2.0
// Planted bugs: each must be found, by the builds that can, at its line: the one with the words "planted: <name>".
#pragma once
#include <fstream>
#include <string>

#include "cuemu/conformance/objects.h"
#include "cuemu/cuemu.h"

namespace rwkv::test {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAsan = true, kTsan = false;
#elif defined(__SANITIZE_THREAD__)
inline constexpr bool kAsan = false, kTsan = true;
#else
inline constexpr bool kAsan = false, kTsan = false;
#endif

// "sync_test.cu:12" for the line of the file that ends with "// planted: <name>".
inline std::string planted(const std::string& name, const char* path = __builtin_FILE()) {
  std::ifstream file(path);
  const std::string mark = "// planted: " + name, whole = path;
  int number = 1;
  for (std::string line; std::getline(file, line); ++number) {
    if (line.ends_with(mark)) return whole.substr(whole.rfind('/') + 1) + ":" + std::to_string(number);
  }
  ADD_FAILURE() << path << " has no line with " << mark;
  return "";
}

inline testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << part << "\" is not in \"" << text << "\"";
}

// What the emulator says about some work.
template <class Work>
std::string report_of(Work&& work) {
  EXPECT_THROW(
      {
        work();
        check(cudaDeviceSynchronize());
      },
      DeviceError);
  return cuemu::take_report();
}

// A sanitizer ends a process that does the work, with a report that has the regular expressions in this order.
template <class Work>
void expect_asan(Work&& work, const std::string& kind, const std::string& line) {
  if (!kAsan) return;
  EXPECT_DEATH(
      {
        work();
        cudaDeviceSynchronize();
      },
      kind + "(.|\n)*" + line);
}
template <class Work>
void expect_race(Work&& work, const std::string& line, const std::string& other = "") {
  if (!kTsan) return;
  EXPECT_EXIT(
      {
        work();
        cudaDeviceSynchronize();
      },
      testing::ExitedWithCode(66), "data race(.|\n)*" + line + "(.|\n)*Previous(.|\n)*" + other);
}

}  // namespace rwkv::test
