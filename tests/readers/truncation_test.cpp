// SPDX-License-Identifier: Apache-2.0
// Small files cut at every byte, with every byte changed and every number replaced: an error, or tensors that can be read.
#include <limits>

#include "allocations.h"
#include "checkpoint_bytes.h"

extern "C" void __asan_init() __attribute__((weak));  // null where the program is not linked with it

namespace rwkv::test {
namespace {

// Opens, and reads what opens. Anything but CheckpointError ends the test.
bool opens(const std::string& bytes) {
  auto source = source_of(bytes);
  const Allocations allocations;
  bool opened = true;
  try {
    const auto checkpoint = open_source("memory", std::move(source));
    EXPECT_LT(allocations.peak(), std::size_t(1) << 20);
    for (const auto& tensor : checkpoint->tensors()) EXPECT_LE(tensor.count(), std::int64_t(16 * bytes.size())) << tensor.name;
    (void)contents(*checkpoint);
  } catch (const CheckpointError&) {
    opened = false;
  }
  EXPECT_LT(allocations.peak(), std::size_t(4) << 20);
  return opened;
}

class ValidFile : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Readers, ValidFile, testing::ValuesIn(valid_files()), [](const auto& param) {
  std::string name = param.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

TEST_P(ValidFile, Opens) { EXPECT_EQ(error_of(malformed(GetParam())), ""); }

TEST_P(ValidFile, IsRefusedWhenCutAnywhere) {
  const std::string bytes = malformed(GetParam());
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(error_of(bytes.substr(0, n)), "") << "cut at " << n;
}

TEST_P(ValidFile, SurvivesEveryChangedByte) {
  const std::string bytes = malformed(GetParam());
  std::size_t refused = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const int change : {0x00, 0xff, bytes[i] ^ 0x01, bytes[i] ^ 0x80}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(change);
      refused += !opens(changed);
    }
  EXPECT_GT(refused, bytes.size() / 8);
}

// At every place, aligned or not: this includes each length, count and offset of the formats. Of what AddressSanitizer watches,
// which takes ten times as long, at every fifth, others for each number.
template <class Number>
void replace_numbers(const std::string& bytes) {
  const std::size_t step = __asan_init ? 5 : 1;
  const auto size = static_cast<std::uint64_t>(bytes.size());
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  std::size_t first = 0;
  for (const std::uint64_t number :
       {std::uint64_t(0), std::uint64_t(1), std::uint64_t(0x7fffffff), std::uint64_t(0x80000000), std::uint64_t(0xffffffff),
        kMost / 2 - 63, kMost / 2, kMost / 2 + 1, kMost, size - 1, size, size + 1}) {
    for (std::size_t i = first++ % step; i + sizeof(Number) <= bytes.size(); i += step) {
      std::string changed = bytes;
      const auto narrow = static_cast<Number>(number);
      std::memcpy(changed.data() + i, &narrow, sizeof narrow);
      (void)opens(changed);
    }
  }
}

TEST_P(ValidFile, SurvivesEveryReplacedNumber32) { replace_numbers<std::uint32_t>(malformed(GetParam())); }
TEST_P(ValidFile, SurvivesEveryReplacedNumber64) { replace_numbers<std::uint64_t>(malformed(GetParam())); }

}  // namespace
}  // namespace rwkv::test
