// SPDX-License-Identifier: Apache-2.0
// torch checkpoints: the zip form (torch 1.6 and later) and the older form of consecutive pickles.
#pragma once
#include "checkpoint/byte_source.h"
#include "checkpoint/inventory.h"

namespace rwkv {

// Both throw CheckpointError, without the file's name.
[[nodiscard]] Inventory read_pth_zip(const ByteSource& source);
[[nodiscard]] Inventory read_pth_legacy(const ByteSource& source);

}  // namespace rwkv
