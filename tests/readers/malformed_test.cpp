// SPDX-License-Identifier: Apache-2.0
// The files of tests/data/malformed: each is refused with the message that expected.json has for it.
#include "checkpoint/checkpoint.h"
#include "checkpoint_bytes.h"
#include "json.h"

namespace rwkv::test {
namespace {

std::string error_of_file(const std::string& name) {
  try {
    (void)open_checkpoint(data("malformed/" + name));
  } catch (const CheckpointError& error) {
    return error.what();
  }
  return "it opened";
}

TEST(Malformed, EveryFileIsRefusedByName) {
  const auto expected = read_json(data("malformed/expected.json"));
  EXPECT_GE(expected.size(), 200u);
  for (const auto& [name, part] : expected.items()) {
    const std::string error = error_of_file(name);
    EXPECT_NE(error.find(part.get<std::string>()), std::string::npos) << name << ": " << error;
    EXPECT_NE(error.find(name + ": "), std::string::npos) << error;
  }
}

TEST(Malformed, MessagesShowNoControlCharacters) {
  for (const std::string name : {"pickle-escape-in-name.pth", "noise.pth"}) {
    for (const char c : error_of_file(name)) EXPECT_GE(c, ' ') << name;
  }
}

TEST(Malformed, EveryFileIsListed) {
  const auto expected = read_json(data("malformed/expected.json"));
  for (const auto& file : std::filesystem::directory_iterator(data("malformed"))) {
    const std::string name = file.path().filename().string();
    if (name == "make.py" || name == "expected.json" || name.starts_with("valid")) continue;
    EXPECT_TRUE(expected.contains(name)) << name;
  }
}

}  // namespace
}  // namespace rwkv::test
