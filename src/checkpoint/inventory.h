// SPDX-License-Identifier: Apache-2.0
// What a reader finds in a file: each tensor and the place of its elements, all checked against the file's size.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace rwkv {

inline constexpr std::uint64_t kMostTensors = 65536;
inline constexpr std::size_t kLongestName = 512;
inline constexpr std::size_t kMostDimensions = 8;
inline constexpr std::int64_t kLongestDimension = std::int64_t(1) << 40;

struct StoredTensor {
  TensorInfo info;
  std::uint64_t at = 0;              // byte of the file at which element [0, 0, ...] starts
  std::vector<std::int64_t> stride;  // in elements, per dimension; empty: row-major without gaps
};

struct Inventory {
  std::string format;
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

}  // namespace rwkv
