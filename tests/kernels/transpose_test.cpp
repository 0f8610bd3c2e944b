// SPDX-License-Identifier: Apache-2.0
// Transposing against the plain loop, element by element: exact, and nothing around the result is written.
#include "kernels/transpose.h"

#include <cstring>

#include "kernels/kernel_testing.h"

namespace rwkv::test {
namespace {

using TransposeKernel = EveryInstructionSet;

struct Shape {
  std::int64_t n_row, n_col, in_stride, out_stride;
};

// offset: bytes from a cache line to the result.
void expect_plain(std::int64_t size, const Shape& s, std::int64_t offset) {
  std::mt19937 rng(1);
  std::vector<std::byte> in(s.n_row * s.in_stride * size), memory(s.n_col * s.out_stride * size + 128);
  for (auto& byte : in) byte = static_cast<std::byte>(rng() & 255);
  for (auto& byte : memory) byte = static_cast<std::byte>(rng() & 255);
  std::byte* out = memory.data();
  while ((reinterpret_cast<std::uintptr_t>(out) - offset) % 64 != 0) ++out;
  std::vector<std::byte> expected = memory;
  std::byte* const to = expected.data() + (out - memory.data());
  for (std::int64_t i = 0; i < s.n_row; ++i) {
    for (std::int64_t m = 0; m < s.n_col; ++m) {
      std::memcpy(to + (m * s.out_stride + i) * size, &in[(i * s.in_stride + m) * size], size);
    }
  }
  transposer(size)(in.data(), s.n_row, s.n_col, s.in_stride, out, s.out_stride);
  EXPECT_TRUE(memory == expected) << s.n_row << " x " << s.n_col << " of " << size << " bytes, offset " << offset;
}

TEST_P(TransposeKernel, MovesEveryElementAndNothingElse) {
  for (const std::int64_t size : {1, 2, 4}) {
    for (const Shape& shape :
         {Shape{1, 1, 1, 1}, {64, 64, 64, 64}, {128, 192, 192, 256}, {65, 63, 70, 99}, {31, 200, 201, 31}}) {
      for (const std::int64_t offset : {0, 4}) expect_plain(size, shape, offset);
    }
  }
}

RWKV_EVERY_INSTRUCTION_SET(TransposeKernel);

}  // namespace
}  // namespace rwkv::test
