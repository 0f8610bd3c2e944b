// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/window.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "allocations.h"
#include "checkpoint_bytes.h"
#include "kernels/half.h"
#include "message.h"

namespace rwkv::test {
namespace {

using Sizes = std::vector<std::int64_t>;

std::string floats(std::size_t n) {
  std::vector<float> v(n);
  std::iota(v.begin(), v.end(), 0.0f);
  return {reinterpret_cast<const char*>(v.data()), n * sizeof(float)};
}

// Element numbers of a strided tensor in row-major order, one by one.
std::vector<float> expected_values(const Sizes& shape, const Sizes& stride) {
  std::vector<float> out = {0};
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::vector<float> next;
    for (const float base : out)
      for (std::int64_t i = 0; i < shape[d]; ++i) next.push_back(base + static_cast<float>(i * stride[d]));
    out = std::move(next);
  }
  return out;
}

struct Strided {
  Sizes shape, stride;
  std::size_t elements;  // of the storage
};

// Dimensions in any order in the file, sometimes with gaps.
Strided random_layout(std::mt19937& rng) {
  Strided out;
  const std::size_t rank = rng() % 5;
  for (std::size_t i = 0; i < rank; ++i) out.shape.push_back(1 + static_cast<std::int64_t>(rng() % 9));
  std::vector<std::size_t> order(rank);
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::shuffle(order.begin(), order.end(), rng);
  out.stride.resize(rank);
  std::int64_t extent = 1;
  for (const std::size_t i : order) {
    out.stride[i] = extent + (rng() % 3 == 0 ? static_cast<std::int64_t>(rng() % 40) : 0);
    extent = out.stride[i] * out.shape[i];
  }
  out.elements = static_cast<std::size_t>(extent);
  return out;
}

TEST(Window, EqualsElementByElementForAnyLayout) {
  std::mt19937 rng(7);
  for (int round = 0; round < 500; ++round) {
    const Strided layout = random_layout(rng);
    const auto source = source_of(floats(layout.elements));
    const auto all = expected_values(layout.shape, layout.stride);
    for (int i = 0; i < 10; ++i) {
      const std::size_t first = rng() % (all.size() + 1), n = rng() % (all.size() - first + 1);
      std::vector<float> out(n, NAN);
      read_window(*source, {FileType::f32, layout.shape, layout.stride, 0}, static_cast<std::int64_t>(first), out);
      EXPECT_TRUE(std::equal(out.begin(), out.end(), all.begin() + static_cast<std::ptrdiff_t>(first)))
          << shape_text(layout.shape) << shape_text(layout.stride) << " from " << first << ", " << n;
    }
  }
}

// The same windows as bytes: the low bytes of the element numbers, for every size of element.
TEST(Window, ReadsStoredElementsOfEverySizeForAnyLayout) {
  constexpr FileType kTypes[] = {FileType::i8, FileType::f16, FileType::i32, FileType::f64};
  std::mt19937 rng(8);
  for (int round = 0; round < 400; ++round) {
    const Strided layout = random_layout(rng);
    const FileType type = kTypes[round % 4];
    const auto size = static_cast<std::size_t>(bytes_of(type));
    std::string stored;
    for (std::uint64_t i = 0; i < layout.elements; ++i) stored.append(reinterpret_cast<const char*>(&i), size);
    const auto all = expected_values(layout.shape, layout.stride);
    const std::size_t first = rng() % (all.size() + 1), n = rng() % (all.size() - first + 1);
    std::vector<std::byte> out(n * size + 1, std::byte(0x5a));
    read_stored_window(*source_of(stored), {type, layout.shape, layout.stride, 0}, static_cast<std::int64_t>(first),
                       std::span(out).first(n * size));
    for (std::size_t i = 0; i < n; ++i) {
      const auto number = static_cast<std::uint64_t>(all[first + i]);
      ASSERT_EQ(std::memcmp(out.data() + i * size, &number, size), 0) << shape_text(layout.shape) << " " << first + i;
    }
    EXPECT_EQ(out.back(), std::byte(0x5a));
  }
}

class CountingSource final : public ByteSource {
 public:
  explicit CountingSource(std::uint64_t size) : size_(size) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  mutable std::size_t calls = 0;
  mutable std::uint64_t bytes = 0;

 protected:
  [[nodiscard]] std::size_t read_some(std::uint64_t, std::span<std::byte> out) const override {
    ++calls;
    bytes += out.size();
    std::ranges::fill(out, std::byte(0));
    return out.size();
  }

 private:
  std::uint64_t size_;
};

TEST(Window, ReadsFloatsInOneCall) {
  const CountingSource source(64 << 20);
  const Sizes shape = {4096, 4096};
  std::vector<float> out(4 << 20);
  read_window(source, {FileType::f32, shape, {}, 0}, 4096, out);
  EXPECT_EQ(source.calls, 1u);
}

TEST(Window, ReadsStoredElementsInOneCallWithoutMemory) {
  const CountingSource source(32 << 20);
  const Sizes shape = {4096, 4096};
  std::vector<std::byte> out(8 << 20);
  const Allocations allocations;
  read_stored_window(source, {FileType::f16, shape, {}, 0}, 4096, out);
  EXPECT_EQ(source.calls, 1u);
  EXPECT_LT(allocations.peak(), 10000u);
}

TEST(Window, ReadsHalvesThroughOneMebibyte) {
  const CountingSource source(32 << 20);
  const Sizes shape = {4096, 4096};
  std::vector<float> out(4 << 20);
  const Allocations allocations;
  read_window(source, {FileType::bf16, shape, {}, 0}, 0, out);
  EXPECT_EQ(source.calls, 8u);
  EXPECT_LT(allocations.peak(), (std::size_t(1) << 20) + 10000);
}

// 256 rows of a column-major matrix: one run per column, no byte twice.
TEST(Window, ReadsRowsOfColumnMajorMatricesColumnByColumn) {
  const CountingSource source(64 << 20);
  const Sizes shape = {4096, 4096}, stride = {1, 4096};
  std::vector<float> out(256 * 4096);
  const Allocations allocations;
  read_window(source, {FileType::f32, shape, stride, 0}, 512 * 4096, out);
  EXPECT_EQ(source.calls, 4096u);
  EXPECT_EQ(source.bytes, 256u * 4096 * 4);
  EXPECT_LT(allocations.peak(), (std::size_t(1) << 20) + 10000);
}

TEST(Window, ReadsWholeColumnMajorMatricesInLargePieces) {
  const CountingSource source(64 << 20);
  const Sizes shape = {4096, 4096}, stride = {1, 4096};
  std::vector<float> out(16 << 20);
  read_window(source, {FileType::f32, shape, stride, 0}, 0, out);
  EXPECT_EQ(source.calls, 64u);
  EXPECT_EQ(source.bytes, source.size());
}

TEST(Window, ConvertsEveryFloatType) {
  const std::vector<float> numbers = {0.0f, -1.5f, 65504.0f, 0x1p-24f, std::numeric_limits<float>::infinity()};
  std::string f64, f16, bf16;
  for (const float x : numbers) {
    const double d = x;
    const std::uint16_t h = f32_to_f16(x), b = f32_to_bf16(x);
    f64.append(reinterpret_cast<const char*>(&d), sizeof d);
    f16.append(reinterpret_cast<const char*>(&h), sizeof h);
    bf16.append(reinterpret_cast<const char*>(&b), sizeof b);
  }
  const Sizes shape = {5};
  std::vector<float> out(5);
  read_window(*source_of(f64), {FileType::f64, shape, {}, 0}, 0, out);
  EXPECT_EQ(out, numbers);
  read_window(*source_of(f16), {FileType::f16, shape, {}, 0}, 0, out);
  EXPECT_EQ(out, numbers);
  read_window(*source_of(bf16), {FileType::bf16, shape, {}, 0}, 0, out);
  EXPECT_EQ(out[1], -1.5f);
  EXPECT_EQ(out[2], 65536.0f);  // rounded to 8 bits
}

TEST(Window, RefusesOtherTypes) {
  const Sizes shape = {1};
  std::vector<float> out(1);
  std::vector<std::uint8_t> bytes(1);
  const auto source = source_of("12345678");
  EXPECT_THROW(read_window(*source, {FileType::i64, shape, {}, 0}, 0, out), CheckpointError);
  EXPECT_THROW(read_window(*source, {FileType::f32, shape, {}, 0}, 0, bytes), CheckpointError);
}

}  // namespace
}  // namespace rwkv::test
