// SPDX-License-Identifier: Apache-2.0
#include "cli/chat_format.h"

namespace rwkv::cli {

std::string clean_turn(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\v\f";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  text = text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (text[i] != '\n' || out.back() != '\n') out += text[i];
  }
  return out;
}

std::string chat_prompt(std::string_view user_text) { return "User: " + clean_turn(user_text) + "\n\nAssistant:"; }

std::vector<std::string> chat_stops(const ModelConfig& config) {
  constexpr int kWorldVocabulary = 65536;
  if (config.version == 7 && config.n_vocab == kWorldVocabulary) return {"\n\nUser:"};
  return {"\n\n"};
}

}  // namespace rwkv::cli
