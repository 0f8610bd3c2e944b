// SPDX-License-Identifier: Apache-2.0
// The tokens of byte-level models (n_vocab 256): a token is a byte.
#pragma once
#include <rwkv/tokenizer.h>

#include <array>

namespace rwkv {

class ByteTokenizer final : public Tokenizer {
 public:
  [[nodiscard]] std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> ids;
    ids.reserve(text.size());
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }

  [[nodiscard]] std::string_view bytes(Token id) const noexcept override {
    if (id < 0 || id >= size()) return {};
    return {&kBytes[static_cast<std::size_t>(id)], 1};
  }

  [[nodiscard]] int size() const noexcept override { return 256; }
  [[nodiscard]] std::string_view kind() const noexcept override { return "bytes"; }

 private:
  static constexpr auto kBytes = [] {
    std::array<char, 256> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
    return bytes;
  }();
};

}  // namespace rwkv
