// SPDX-License-Identifier: Apache-2.0
// Where in the output a word was encoded before: of the words of one text, the latest per slot.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace rwkv {

class WordCache {
 public:
  static constexpr std::size_t kMaxWord = 22;  // bytes; longer words are rare

  struct Slot {
    std::array<char, kMaxWord> word{};  // padded with zeros
    std::uint8_t size = 0;              // of the word; 0: unused
    std::uint8_t count = 0;             // of its tokens
    std::uint64_t first = 0;            // its first token's place in the output
  };

  // Between 2 KiB and 512 KiB, by the size of the text.
  explicit WordCache(std::size_t text_size) : slots_(std::bit_ceil(std::clamp<std::size_t>(text_size / 8, 64, 16'384))) {}

  // The slot of a word of 1 to kMaxWord bytes, and whether it holds that word. If not, the word is put into it, and the caller
  // fills in `count` and `first`.
  std::pair<Slot*, bool> find(std::string_view word) {
    Slot key;
    std::memcpy(key.word.data(), word.data(), word.size());
    key.size = static_cast<std::uint8_t>(word.size());
    const Key wanted = std::bit_cast<std::array<std::uint64_t, 4>>(key);
    Slot& slot = slots_[hash(wanted) & (slots_.size() - 1)];
    const Key there = std::bit_cast<std::array<std::uint64_t, 4>>(slot);
    const std::uint64_t differ = (wanted[0] ^ there[0]) | (wanted[1] ^ there[1]) | ((wanted[2] ^ there[2]) & kWithoutCount);
    if (differ == 0) return {&slot, true};
    slot = key;
    return {&slot, false};
  }

 private:
  using Key = std::array<std::uint64_t, 4>;
  static_assert(sizeof(Slot) == sizeof(Key));
  static_assert(std::endian::native == std::endian::little);
  static constexpr std::uint64_t kWithoutCount = UINT64_MAX >> 8;  // `count` is the last of the first 24 bytes

  static std::size_t hash(const Key& key) {
    const std::uint64_t mixed = (key[0] ^ std::rotl(key[1], 23) ^ std::rotl(key[2], 41)) * 0x9E3779B97F4A7C15;
    return static_cast<std::size_t>(mixed >> 32);
  }

  std::vector<Slot> slots_;
};

}  // namespace rwkv
