// SPDX-License-Identifier: Apache-2.0
#include "cli/line_reader.h"

#include "cli/interrupt.h"

#include <rwkv/error.h>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace rwkv::cli {
namespace {

constexpr std::size_t kLongestLine = 16 << 20;

}  // namespace

std::optional<std::string> LineReader::next() {
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != buffer_.npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (ended_) return buffer_.empty() ? std::nullopt : std::optional(std::exchange(buffer_, {}));
    if (buffer_.size() > kLongestLine) throw ArgumentError("standard input: a line is longer than 16 MiB");
    char bytes[4096];
    const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (n < 0 && errno != EINTR) throw FileError(std::string("standard input: ") + std::strerror(errno), errno);
    if (interrupted()) return {};
    if (n > 0) buffer_.append(bytes, std::size_t(n));
    if (n == 0) ended_ = true;
  }
}

}  // namespace rwkv::cli
