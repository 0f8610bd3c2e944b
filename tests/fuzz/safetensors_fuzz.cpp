// SPDX-License-Identifier: Apache-2.0
// A safetensors file: its tensors fill what the header leaves.
#include "checkpoint/safetensors.h"

#include <rwkv/error.h>

#include "bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const auto source = rwkv::fuzz::source_of(data, size);
  const rwkv::Inventory inventory = rwkv::read_safetensors(*source);
  std::uint64_t length = 0, total = 8;
  std::memcpy(&length, data, sizeof length);
  for (const auto& tensor : inventory.tensors)
    total += static_cast<std::uint64_t>(tensor.info.count() * rwkv::bytes_of(tensor.info.type));
  if (total + length != size) __builtin_trap();
  return 0;
} catch (const rwkv::CheckpointError&) {
  return 0;
}
