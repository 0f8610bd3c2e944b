// SPDX-License-Identifier: Apache-2.0
// The directory of a zip archive as torch writes them: entries stored without compression, on one disk, zip64 or not.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/byte_source.h"

namespace rwkv {

struct ZipEntry {
  std::string name;
  std::uint64_t at = 0, size = 0;  // its bytes in the file
  std::uint32_t crc = 0;           // 0: not computed
};

class ZipDirectory {
 public:
  // Every entry lies inside the file, apart from all others, and its two headers agree. Throws CheckpointError.
  explicit ZipDirectory(const ByteSource& source);

  [[nodiscard]] std::span<const ZipEntry> entries() const { return entries_; }  // by name
  [[nodiscard]] const ZipEntry* find(std::string_view name) const;              // null: no such entry

 private:
  std::vector<ZipEntry> entries_;
};

// Compares an entry's bytes with its checksum, if it has one. Throws CheckpointError.
void check_crc(const ByteSource& source, const ZipEntry& entry);

}  // namespace rwkv
