// SPDX-License-Identifier: Apache-2.0
// An array of each sequence of a test's ragged batch (kernels/ragged.h) on the device, and an array of pointers to them.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cuda/device_array.h"
#include "kernels/half.h"
#include "kernels/tensor.h"

namespace rwkv::test {

using Arrays = std::vector<std::vector<float>>;

// What a state of float16 keeps of them.
inline Arrays halves(Arrays arrays) {
  for (auto& values : arrays) {
    for (float& x : values) x = f16_to_f32(f32_to_f16(std::clamp(x, -65504.0f, 65504.0f)));
  }
  return arrays;
}

class DeviceSlot {
 public:
  explicit DeviceSlot(const Arrays& arrays, DType type = DType::f32) : type_(type) {
    std::vector<void*> at;
    for (const auto& values : arrays) at.push_back(arrays_.emplace_back(new DeviceArray<std::byte>(bytes_of(values)))->data());
    pointers_ = std::make_unique<DeviceArray<void*>>(at);
  }
  // To the arrays, on the host.
  [[nodiscard]] std::vector<float*> pointers() const {
    std::vector<float*> at;
    for (const auto& array : arrays_) at.push_back(reinterpret_cast<float*>(array->data()));
    return at;
  }

  [[nodiscard]] float* const* data() const { return reinterpret_cast<float* const*>(pointers_->data()); }
  [[nodiscard]] StateArrays states() const { return {pointers_->data(), type_}; }

  // After all work that the device was given.
  [[nodiscard]] Arrays values() const {
    Arrays all;
    for (const auto& array : arrays_) all.push_back(values_of(array->values()));
    return all;
  }

 private:
  [[nodiscard]] std::vector<std::byte> bytes_of(const std::vector<float>& values) const {
    if (type_ == DType::f32) return copied<std::byte>(values);
    std::vector<std::uint16_t> numbers;
    for (const float x : values) numbers.push_back(f32_to_f16(x));
    return copied<std::byte>(numbers);
  }
  [[nodiscard]] std::vector<float> values_of(const std::vector<std::byte>& bytes) const {
    if (type_ == DType::f32) return copied<float>(bytes);
    std::vector<float> values;
    for (const std::uint16_t x : copied<std::uint16_t>(bytes)) values.push_back(f16_to_f32(x));
    return values;
  }
  template <class To, class From>
  static std::vector<To> copied(const std::vector<From>& from) {
    std::vector<To> to(from.size() * sizeof(From) / sizeof(To));
    std::ranges::copy(std::as_bytes(std::span(from)), std::as_writable_bytes(std::span(to)).begin());
    return to;
  }

  DType type_;
  std::vector<std::unique_ptr<DeviceArray<std::byte>>> arrays_;
  std::unique_ptr<DeviceArray<void*>> pointers_;
};

// Of run(inputs, type of the state) a state of float16 is what float16 keeps of one of float32, and nothing else differs.
template <class Inputs, class Run>
void expect_half_states(Inputs in, const Run& run) {
  in.ragged.arrays[0] = halves(in.ragged.arrays[0]);
  in.v[0] = in.v.back() = 1e8f, in.v[in.size + 1] = -1e8f;  // more than float16 can hold
  Inputs half = in;
  run(in, DType::f32), run(half, DType::f16);
  EXPECT_EQ(half.out, in.out) << in.size;
  EXPECT_EQ(half.ragged.arrays[0], halves(in.ragged.arrays[0])) << in.size;
}

}  // namespace rwkv::test
