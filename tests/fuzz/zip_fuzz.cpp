// SPDX-License-Identifier: Apache-2.0
// A zip archive: its entries lie in the file, one after the other.
#include <rwkv/error.h>

#include "bytes.h"
#include "checkpoint/zip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const auto source = rwkv::fuzz::source_of(data, size);
  const rwkv::ZipDirectory zip(*source);
  std::uint64_t total = 0;
  for (const auto& entry : zip.entries()) {
    total += entry.size;
    if (total > size || zip.find(entry.name) != &entry) __builtin_trap();
    rwkv::check_crc(*source, entry);
  }
  return 0;
} catch (const rwkv::CheckpointError&) {
  return 0;
}
