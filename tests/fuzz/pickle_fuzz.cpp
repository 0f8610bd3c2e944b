// SPDX-License-Identifier: Apache-2.0
// A sequence of pickles: values, and tensors placed in a storage of 4 KiB.
#include <rwkv/error.h>

#include "bytes.h"
#include "checkpoint/state_dict.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const auto source = rwkv::fuzz::source_of(data, size);
  rwkv::pickle::Input input(*source, 0, size);
  while (input.left() != 0) {
    const auto document = rwkv::pickle::read(input);
    try {
      for (const auto& [name, tensor] : rwkv::named_tensors(document))
        (void)rwkv::place(name, *tensor, document.storage(tensor->storage), {0, 4096});
    } catch (const rwkv::CheckpointError&) {
    }
  }
  return 0;
} catch (const rwkv::CheckpointError&) {
  return 0;
}
