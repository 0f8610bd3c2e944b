// SPDX-License-Identifier: Apache-2.0
// Conversions of many numbers against those of one number (tests/unit/half_test.cpp tests these): equal bit by bit.
#include "kernels/convert.h"

#include <cstring>

#include "kernels/half.h"
#include "kernels/kernel_testing.h"

namespace rwkv::test {
namespace {

using ConvertKernel = EveryInstructionSet;

constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

float load(DType type, const std::byte* in) {
  std::uint16_t half = 0;
  float single = 0;
  std::memcpy(type == DType::f32 ? static_cast<void*>(&single) : &half, in, static_cast<std::size_t>(bytes_of(type)));
  return type == DType::f32 ? single : type == DType::f16 ? f16_to_f32(half) : bf16_to_f32(half);
}

void store(DType type, float x, std::byte* out) {
  const std::uint16_t half = type == DType::f16 ? f32_to_f16(x) : f32_to_bf16(x);
  std::memcpy(out, type == DType::f32 ? static_cast<const void*>(&x) : &half, static_cast<std::size_t>(bytes_of(type)));
}

// From `in` on, n numbers of type `from`; the byte behind the results must stay.
bool expect_plain(DType from, DType to, const std::byte* in, std::int64_t n) {
  const std::int64_t from_size = bytes_of(from), to_size = bytes_of(to);
  std::vector<std::byte> found(n * to_size + to_size, std::byte(0x5a)), expected = found;
  const bool large = converter(from, to)(in, found.data(), n);
  for (std::int64_t i = 0; i < n; ++i) {
    if (from == to) {
      std::memcpy(&expected[i * to_size], in + i * from_size, to_size);
    } else {
      store(to, load(from, in + i * from_size), &expected[i * to_size]);
    }
  }
  EXPECT_TRUE(found == expected) << name_of(from) << " to " << name_of(to) << ", " << n << " numbers";
  return large;
}

TEST_P(ConvertKernel, GivesTheBitsOfOneByOneForEveryHalf) {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const DType from : {DType::f16, DType::bf16}) {
    for (const DType to : kTypes) expect_plain(from, to, std::as_bytes(std::span(all)).data(), std::ssize(all));
  }
}

// Every exponent and sign, and the neighbourhood of every rounding: ties, just below and just above.
TEST_P(ConvertKernel, GivesTheBitsOfOneByOneForFloatsOfAllSizes) {
  std::mt19937 rng(1);
  std::vector<std::uint32_t> bits;
  for (std::uint32_t top = 0; top < 1u << 16; ++top) {
    for (const std::uint32_t low :
         {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu, static_cast<std::uint32_t>(rng() & 0xffffu)})
      bits.push_back(top << 16 | low);
  }
  for (const DType to : kTypes) expect_plain(DType::f32, to, std::as_bytes(std::span(bits)).data(), std::ssize(bits));
}

TEST_P(ConvertKernel, TakesAnyNumberOfElementsFromAnyElementOn) {
  const auto values = floats(200, 2);
  for (const DType from : kTypes) {
    std::vector<std::byte> in(values.size() * bytes_of(from));
    for (std::size_t i = 0; i < values.size(); ++i) store(from, values[i], &in[i * bytes_of(from)]);
    for (const DType to : kTypes) {
      for (std::int64_t n = 0; n < 100; ++n) EXPECT_FALSE(expect_plain(from, to, &in[n % 7 * bytes_of(from)], n));
    }
  }
}

TEST_P(ConvertKernel, SaysThatANumberIsTooLargeForFp16WhereverItStands) {
  for (const float large : {65520.0f, -1e6f}) {
    for (std::int64_t at = 0; at < 67; ++at) {
      std::vector<float> values(67, 65504.0f);
      EXPECT_FALSE(expect_plain(DType::f32, DType::f16, std::as_bytes(std::span(values)).data(), 67));
      values[at] = large;
      EXPECT_TRUE(expect_plain(DType::f32, DType::f16, std::as_bytes(std::span(values)).data(), 67)) << at;
      std::vector<std::uint16_t> halves(67, f32_to_bf16(1.0f));
      halves[at] = f32_to_bf16(large);
      EXPECT_TRUE(expect_plain(DType::bf16, DType::f16, std::as_bytes(std::span(halves)).data(), 67)) << at;
    }
  }
}

RWKV_EVERY_INSTRUCTION_SET(ConvertKernel);

}  // namespace
}  // namespace rwkv::test
