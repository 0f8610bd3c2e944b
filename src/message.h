// SPDX-License-Identifier: Apache-2.0
// Error messages: parts joined to one string; text from outside made harmless.
#pragma once
#include <cstdint>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

namespace rwkv {

// message("expected ", 3, ", found ", 4)
template <class... Parts>
[[nodiscard]] std::string message(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << parts);
  return std::move(out).str();
}

// Text of a file or of a user inside a message: control characters escaped, cut at 200 characters.
[[nodiscard]] std::string printable(std::string_view text);

// "[2048, 1024]"
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace rwkv
