// SPDX-License-Identifier: Apache-2.0
// Lines of stdin, from a keyboard or a pipe, that Ctrl-C can interrupt.
#pragma once
#include <optional>
#include <string>

namespace rwkv::cli {

class LineReader {
 public:
  // The next line without its end. Nothing at the end of the input, or when an interrupt is noted (interrupted()).
  [[nodiscard]] std::optional<std::string> next();

 private:
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace rwkv::cli
