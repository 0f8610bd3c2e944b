// SPDX-License-Identifier: Apache-2.0
// A fuzzer's input as a source.
#pragma once
#include <cstring>
#include <memory>

#include "checkpoint/byte_source.h"

namespace rwkv::fuzz {

inline std::unique_ptr<ByteSource> source_of(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), data, size);
  return std::make_unique<MemorySource>(std::move(bytes));
}

}  // namespace rwkv::fuzz
