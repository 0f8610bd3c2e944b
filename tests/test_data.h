// SPDX-License-Identifier: Apache-2.0
// Where tests find their files.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace rwkv::test {

// tests/data: in the repository.
inline std::filesystem::path data(const std::string& name) { return std::filesystem::path(RWKV_TEST_DATA) / name; }

// Models and vocabularies of other projects, beside the repository where they are there.
inline std::filesystem::path shared(const std::string& name) { return std::filesystem::path(RWKV_SHARED) / name; }

// A file of the running test alone: tests run at the same time.
inline std::filesystem::path temporary_file(const std::string& name) {
  const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
  std::string file = std::string(test->test_suite_name()) + "." + test->name() + "." + name;
  std::replace(file.begin(), file.end(), '/', '.');  // of parameterised tests
  return std::filesystem::path(testing::TempDir()) / file;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace rwkv::test

// Ends a test that needs a file which is not in the repository, and says which.
#define RWKV_SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "skipped: needs " << (path).string()
