// SPDX-License-Identifier: Apache-2.0
// A ragged batch in the memory of a test.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "kernels/tensor.h"
#include "kernels/values.h"

namespace rwkv::test {

// A ragged batch whose sequences keep one array each.
struct Ragged {
  std::vector<std::int32_t> offsets{0};
  std::vector<std::vector<std::vector<float>>> arrays;  // [slot][sequence]
  std::vector<std::vector<float*>> pointers;            // [slot][sequence]

  explicit Ragged(std::initializer_list<int> lengths) {
    for (const int n : lengths) offsets.push_back(offsets.back() + n);
  }
  [[nodiscard]] std::int64_t n_row() const { return offsets.back(); }
  [[nodiscard]] std::int64_t n_seq() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  [[nodiscard]] Batch batch() const { return {n_seq(), n_row(), offsets.data()}; }

  // Adds a slot of n random floats per sequence.
  float* const* slot(std::int64_t n, std::uint32_t seed, float scale = 1.0f, float mean = 0.0f) {
    std::vector<std::vector<float>> values;
    std::vector<float*> at;
    for (std::int64_t s = 0; s < n_seq(); ++s) values.push_back(floats(n, seed + static_cast<std::uint32_t>(s), scale, mean));
    arrays.push_back(std::move(values));
    for (auto& v : arrays.back()) at.push_back(v.data());
    pointers.push_back(std::move(at));
    return pointers.back().data();
  }
};

}  // namespace rwkv::test
