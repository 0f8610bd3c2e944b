// SPDX-License-Identifier: Apache-2.0
// A prompt of any length, in pieces of about a MiB whose tokens are those of the whole text.
#pragma once
#include <rwkv/tokenizer.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace rwkv::cli {

// Where a text may be cut without a change of its tokens: behind a single line end between two visible ASCII characters, if no
// token reaches across. (World: then the longest match cannot cross either. BPE: words and blanks are separate there.)
class SafeCut {
 public:
  explicit SafeCut(const Tokenizer& tokenizer);

  // The last such place in text[0, size - 1]; 0: none.
  [[nodiscard]] std::size_t last_in(std::string_view text) const;

 private:
  std::array<bool, 256> follows_newline_{};  // within some token
};

class PromptSource {
 public:
  static PromptSource text(std::string text);
  static PromptSource file(const std::filesystem::path& path);  // throws FileError
  static PromptSource standard_input();
  PromptSource(PromptSource&& other) noexcept;
  PromptSource& operator=(PromptSource&&) = delete;
  ~PromptSource();

  // The next piece, never empty; nothing at the end. Files and pipes lose one line end at their end. Without a safe cut in
  // 16 MiB the text is cut between two characters.
  [[nodiscard]] std::optional<std::string> next(const SafeCut& cut);

  [[nodiscard]] std::int64_t bytes_given() const noexcept { return given_; }
  [[nodiscard]] std::int64_t bytes_in_all() const noexcept { return total_; }  // 0: not known

 private:
  PromptSource(int fd, std::string name);
  void fill(std::size_t size);
  std::string take(std::size_t size);

  int fd_ = -1;  // -1: everything is in buffer_
  std::string name_, buffer_;
  bool ended_ = false;
  std::int64_t given_ = 0, total_ = 0;
};

}  // namespace rwkv::cli
