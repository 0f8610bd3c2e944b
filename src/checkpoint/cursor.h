// SPDX-License-Identifier: Apache-2.0
// Little-endian fields taken one after the other from bytes in memory; going beyond the end throws.
#pragma once
#include <rwkv/error.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace rwkv {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian and read without swapping");

class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <std::integral T>
  [[nodiscard]] T take() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  [[nodiscard]] std::span<const std::byte> take(std::size_t n) {
    if (n > rest_.size()) throw CheckpointError("damaged: a record ends before its last field");
    const auto out = rest_.first(n);
    rest_ = rest_.subspan(n);
    return out;
  }

  [[nodiscard]] std::string_view text(std::size_t n) {
    const auto bytes = take(n);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void skip(std::size_t n) { (void)take(n); }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace rwkv
