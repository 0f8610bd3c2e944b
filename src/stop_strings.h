// SPDX-License-Identifier: Apache-2.0
// Ends a text in front of a stop string, however the text is cut into pieces.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace rwkv {

// Of several stop strings the one that is complete first counts; of those that end at the same byte, the longest.
class StopStrings {
 public:
  // Throws ArgumentError for a stop string that is empty or not UTF-8.
  explicit StopStrings(std::vector<std::string> stops);

  // What can be output for certain with this piece: a part that may be the beginning of a stop string is held back.
  [[nodiscard]] std::string push(std::string_view piece);

  // What is still held back, when no more text comes.
  [[nodiscard]] std::string flush();

  // The stop string that was met; empty if none was. Nothing comes out after it.
  [[nodiscard]] const std::string& met() const noexcept { return met_; }

 private:
  [[nodiscard]] std::size_t held_back() const;

  std::vector<std::string> stops_;
  std::string pending_;
  std::string met_;
};

}  // namespace rwkv
