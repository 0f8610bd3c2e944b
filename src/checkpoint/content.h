// SPDX-License-Identifier: Apache-2.0
// What a file is, by its first bytes.
#pragma once
#include <string_view>

#include "checkpoint/byte_source.h"

namespace rwkv {

enum class Content { pth_zip, pth_legacy, safetensors };

// Throws CheckpointError saying what else it is (web page, Git LFS pointer, GGUF...) and what to do.
[[nodiscard]] Content content_of(const ByteSource& source);

}  // namespace rwkv
