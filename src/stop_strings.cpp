// SPDX-License-Identifier: Apache-2.0
#include "stop_strings.h"

#include <rwkv/error.h>

#include <algorithm>
#include <utility>

#include "message.h"
#include "text/utf8.h"

namespace rwkv {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (std::size_t i = 0; i < stops_.size(); ++i) {
    if (stops_[i].empty()) throw ArgumentError(message("stop[", i, "] is empty; a stop string has at least one character"));
    if (!utf8::is_valid(stops_[i])) throw ArgumentError(message("stop[", i, "] is not UTF-8: \"", printable(stops_[i]), "\""));
  }
}

std::string StopStrings::push(std::string_view piece) {
  if (!met_.empty()) return {};
  pending_ += piece;
  std::size_t first_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = pending_.find(stop);
    if (at == std::string::npos) continue;
    const std::size_t end = at + stop.size();
    if (end < first_end || (end == first_end && stop.size() > met_.size())) {
      first_end = end;
      met_ = stop;
    }
  }
  const std::size_t certain = met_.empty() ? pending_.size() - held_back() : first_end - met_.size();
  std::string out = pending_.substr(0, certain);
  pending_.erase(0, met_.empty() ? certain : std::string::npos);
  return out;
}

std::string StopStrings::flush() { return std::exchange(pending_, {}); }

// Bytes of the longest end of the text that is the beginning of a stop string. Both are UTF-8, so it starts with a character.
std::size_t StopStrings::held_back() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, pending_.size()); n > longest; --n) {
      if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) longest = n;
    }
  }
  return longest;
}

}  // namespace rwkv
