// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/checkpoint.h"

#include <algorithm>

namespace rwkv {

std::string_view name_of(FileType type) {
  switch (type) {
    case FileType::f64:
      return "f64";
    case FileType::f32:
      return "f32";
    case FileType::f16:
      return "f16";
    case FileType::bf16:
      return "bf16";
    case FileType::u8:
      return "u8";
    case FileType::i8:
      return "i8";
    case FileType::i16:
      return "i16";
    case FileType::i32:
      return "i32";
    case FileType::i64:
      return "i64";
    case FileType::boolean:
      return "bool";
  }
  return "unknown";
}

std::int64_t bytes_of(FileType type) {
  switch (type) {
    case FileType::f64:
    case FileType::i64:
      return 8;
    case FileType::f32:
    case FileType::i32:
      return 4;
    case FileType::f16:
    case FileType::bf16:
    case FileType::i16:
      return 2;
    case FileType::u8:
    case FileType::i8:
    case FileType::boolean:
      return 1;
  }
  return 1;
}

std::int64_t TensorInfo::count() const {
  if (std::ranges::find(shape, 0) != shape.end()) return 0;  // the other dimensions may be anything
  std::int64_t n = 1;
  for (const std::int64_t size : shape) n *= size;
  return n;
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(tensors_, name, {}, &TensorInfo::name);
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

}  // namespace rwkv
