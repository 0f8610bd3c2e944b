// SPDX-License-Identifier: Apache-2.0
// Counts what the test program allocates, and makes one allocation fail.
#pragma once
#include <cstddef>

namespace rwkv::test {

// While it lives, allocations of this thread are counted. One at a time.
class Allocations {
 public:
  explicit Allocations(std::size_t fail_at = 0);  // the allocation with this number (from 1) fails once; 0: none
  ~Allocations();
  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::size_t peak() const;  // bytes alive at once
};

}  // namespace rwkv::test
