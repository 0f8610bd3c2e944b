// SPDX-License-Identifier: Apache-2.0
// Where tests find their files.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace rwkv::test {

// tests/data: in the repository.
std::filesystem::path data(const std::string& name);

// Models and vocabularies of other projects, beside the repository where they are there.
std::filesystem::path shared(const std::string& name);

// A file of the running test alone: tests run at the same time.
std::filesystem::path temporary_file(const std::string& name);

std::string read_file(const std::filesystem::path& path);

}  // namespace rwkv::test

// Ends a test that needs a file which is not in the repository, and says which.
#define RWKV_SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "skipped: needs " << (path).string()
