// SPDX-License-Identifier: Apache-2.0
// What a Hugging Face tokenizer.json says, for the one kind that is supported: byte-level BPE of the GPT-NeoX kind.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rwkv {

struct BpeFile {
  struct AddedToken {
    std::string content;
    std::uint32_t id;
    bool special;     // stands for no text
    bool normalized;  // searched for after normalisation, else before
  };

  bool nfc = false;                                          // normaliser
  std::vector<std::pair<std::string, std::uint32_t>> vocab;  // sorted, each token once; in the byte alphabet
  std::vector<std::pair<std::string, std::string>> merges;   // best first
  std::vector<AddedToken> added;
};

// Limits: depth 64, ids to 1,048,576, one million merges and added tokens. Patterns are never taken from the file.
// Throws TokenizerError if the JSON is damaged or asks for something that is not supported.
[[nodiscard]] BpeFile parse_bpe_file(std::string_view content, const std::string& name);

}  // namespace rwkv
