// SPDX-License-Identifier: Apache-2.0
// FNV-1a, 64 bits: tells different bytes apart and finds damage, not malice.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace rwkv {

inline constexpr std::uint64_t kFnv1aStart = 14695981039346656037u;

[[nodiscard]] inline std::uint64_t fnv1a(std::uint64_t hash, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 1099511628211u;
  return hash;
}

}  // namespace rwkv
