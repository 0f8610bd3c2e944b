// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) of bytes given piece by piece.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace rwkv::cli {

class Sha256 {
 public:
  void update(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::string hex();  // ends the message: nothing may follow

 private:
  void block(const std::uint8_t* bytes);

  std::array<std::uint32_t, 8> h_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> pending_{};
  std::uint64_t length_ = 0;  // bytes so far
};

// Throws FileError.
[[nodiscard]] std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace rwkv::cli
