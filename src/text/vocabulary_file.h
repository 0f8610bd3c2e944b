// SPDX-License-Identifier: Apache-2.0
// The bytes of a vocabulary file, within limits.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace rwkv {

inline constexpr std::uint64_t kMaxVocabularyBytes = 64 << 20;

// Throws FileError, and TokenizerError if the file is larger than kMaxVocabularyBytes.
[[nodiscard]] std::string read_vocabulary(const std::filesystem::path& file);

}  // namespace rwkv
