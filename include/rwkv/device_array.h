// SPDX-License-Identifier: Apache-2.0
// An array in the memory of the device that computes with it, for other libraries to go on there without a copy.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rwkv {

struct DeviceArray {
  enum class Type { float32, float16 };
  enum class Kind { cpu, cuda };

  std::string name;                 // "blocks.0.att_x" of a state, "logits"
  std::vector<std::int64_t> shape;  // row-major without gaps
  Type type = Type::float32;
  Kind device = Kind::cpu;
  int ordinal = 0;              // of the card: 1 for cuda:1
  void* data = nullptr;         // on the device; null if the shape has a 0
  std::shared_ptr<void> owner;  // of the memory, which stays as long as this is somewhere
};

}  // namespace rwkv
