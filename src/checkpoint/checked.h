// SPDX-License-Identifier: Apache-2.0
// Arithmetic on numbers that come from a file: every one of them may be hostile, so nothing wraps. Readers use no other.
#pragma once
#include <rwkv/error.h>

#include <compare>
#include <cstdint>
#include <limits>

namespace rwkv {

// An unsigned 64-bit number whose +, - and * throw CheckpointError instead of wrapping. Construction is implicit so that
// `Checked(a) + b` reads like arithmetic; the way back is the explicit value().
class Checked {
 public:
  constexpr Checked(std::uint64_t value) : value_(value) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }

  // As int64, for shapes and counts.
  [[nodiscard]] std::int64_t signed_value() const {
    if (value_ > std::uint64_t(std::numeric_limits<std::int64_t>::max())) overflow();
    return static_cast<std::int64_t>(value_);
  }

  friend Checked operator+(Checked a, Checked b) {
    std::uint64_t out = 0;
    if (__builtin_add_overflow(a.value_, b.value_, &out)) overflow();
    return out;
  }
  friend Checked operator-(Checked a, Checked b) {
    if (b.value_ > a.value_) overflow();
    return a.value_ - b.value_;
  }
  friend Checked operator*(Checked a, Checked b) {
    std::uint64_t out = 0;
    if (__builtin_mul_overflow(a.value_, b.value_, &out)) overflow();
    return out;
  }
  friend constexpr auto operator<=>(Checked, Checked) = default;

 private:
  [[noreturn]] static void overflow() { throw CheckpointError("damaged: a size or offset is outside 64 bits"); }

  std::uint64_t value_;
};

}  // namespace rwkv
