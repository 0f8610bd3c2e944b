// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/zip.h"

#include "checkpoint_bytes.h"

namespace rwkv::test {
namespace {

TEST(Zip, ListsEntriesByName) {
  const auto source = source_of(malformed("valid.pth"));
  const ZipDirectory zip(*source);
  ASSERT_EQ(zip.entries().size(), 5u);
  EXPECT_EQ(zip.entries()[0].name, "m/data.pkl");
  const ZipEntry* const numbers = zip.find("m/data/0");
  ASSERT_NE(numbers, nullptr);
  EXPECT_EQ(numbers->size, 96u);
  EXPECT_EQ(numbers->at % 64, 0u);
  EXPECT_EQ(zip.find("m/data"), nullptr);
}

TEST(Zip, ComparesChecksums) {
  const auto source = source_of(malformed("valid.pth"));
  const ZipDirectory zip(*source);
  ZipEntry entry = *zip.find("m/data/1");
  EXPECT_NO_THROW(check_crc(*source, entry));
  entry.crc ^= 1;
  EXPECT_THROW(check_crc(*source, entry), CheckpointError);
  entry.crc = 0;  // not computed
  EXPECT_NO_THROW(check_crc(*source, entry));
}

TEST(Zip, AcceptsTheLongestComment) {
  std::string bytes = malformed("valid-plain-zip.pth");
  const std::string comment = "a comment";
  bytes.resize(bytes.size() - comment.size());
  bytes[bytes.size() - 2] = bytes[bytes.size() - 1] = '\xff';
  EXPECT_EQ(error_of(bytes + std::string(65535, 'c')), "");
  EXPECT_NE(error_of(bytes + std::string(65536, 'c')), "");
}

}  // namespace
}  // namespace rwkv::test
