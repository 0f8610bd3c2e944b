// SPDX-License-Identifier: Apache-2.0
#include "test_data.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace rwkv::test {

std::filesystem::path data(const std::string& name) { return std::filesystem::path(RWKV_TEST_DATA) / name; }

std::filesystem::path shared(const std::string& name) { return std::filesystem::path(RWKV_SHARED) / name; }

std::filesystem::path temporary_file(const std::string& name) {
  const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
  std::string file = std::string(test->test_suite_name()) + "." + test->name() + "." + name;
  std::replace(file.begin(), file.end(), '/', '.');  // of parameterised tests
  return std::filesystem::path(testing::TempDir()) / file;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace rwkv::test
