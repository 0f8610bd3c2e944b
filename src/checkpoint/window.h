// SPDX-License-Identifier: Apache-2.0
// A window of a stored tensor, in row-major order whatever the order in the file, with bounded memory.
#pragma once
#include <cstdint>
#include <span>

#include "checkpoint/byte_source.h"
#include "checkpoint/inventory.h"

namespace rwkv {

// Where the elements of one tensor lie; as in TensorInfo and StoredTensor.
struct Layout {
  FileType type;
  std::span<const std::int64_t> shape, stride;
  std::uint64_t at;
};

// Elements [first, first + out.size()) as float32; needs at most 1 MiB besides `out`. The tensor is f64, f32, f16 or bf16.
void read_window(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<float> out);

// The elements as they are stored, of any type; out.size() is a multiple of the type's. Needs no other memory for a tensor
// without gaps.
void read_stored_window(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<std::byte> out);

// As read_window, for u8.
void read_window(const ByteSource& source, const Layout& tensor, std::int64_t first, std::span<std::uint8_t> out);

}  // namespace rwkv
