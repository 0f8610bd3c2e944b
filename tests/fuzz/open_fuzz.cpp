// SPDX-License-Identifier: Apache-2.0
// Any file: it opens and all its tensors can be read, in windows too, or it is refused.
#include <rwkv/error.h>

#include "bytes.h"
#include "checkpoint/file_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const auto checkpoint = rwkv::open_source("input", rwkv::fuzz::source_of(data, size));
  for (const auto& tensor : checkpoint->tensors()) {
    if (tensor.type > rwkv::FileType::bf16) continue;
    const std::int64_t count = tensor.count();
    if (count > std::int64_t(16 * size)) __builtin_trap();
    std::vector<float> all(static_cast<std::size_t>(count)), window(static_cast<std::size_t>(count / 2));
    checkpoint->read(tensor, 0, all);
    checkpoint->read(tensor, count / 3, window);
    if (!window.empty() && std::memcmp(window.data(), all.data() + count / 3, window.size() * sizeof(float)) != 0)
      __builtin_trap();
  }
  return 0;
} catch (const rwkv::CheckpointError&) {
  return 0;
}
