// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include "cli/exit_codes.h"

#include <rwkv/error.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "message.h"

namespace rwkv::cli {

bool is_terminal(int fd) noexcept { return ::isatty(fd) == 1; }

std::string without_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    if (c == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F
      ++i;
      continue;
    }
    if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f)) out.push_back(text[i]);
  }
  return out;
}

Output::Output(Filter filter) : filtered_(filter == Filter::automatic && is_terminal(STDOUT_FILENO)) {}

void Output::write(std::string_view text) {
  const std::string clean = filtered_ ? without_controls(text) : std::string();
  if (filtered_) text = clean;
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(std::size_t(n));
    } else if (errno == EPIPE) {
      throw OutputClosed();
    } else if (errno != EINTR) {
      throw Error(message("standard output: ", std::strerror(errno)));
    }
  }
}

Progress::Progress(std::string label) : label_(std::move(label)), next_(Clock::now() + std::chrono::milliseconds(300)) {}

Progress::~Progress() { clear(); }

void Progress::update(std::int64_t done, std::int64_t total) {
  if (total <= 0 || !is_terminal(STDERR_FILENO) || Clock::now() < next_) return;
  next_ = Clock::now() + std::chrono::milliseconds(100);
  shown_ = true;
  const double part = std::clamp(double(done) / double(total), 0.0, 1.0);
  std::string bar(30, '.');
  std::fill_n(bar.begin(), std::size_t(part * 30), '#');
  std::fprintf(stderr, "\r%s [%s] %3d %%", label_.c_str(), bar.c_str(), int(part * 100));
  std::fflush(stderr);
}

void Progress::clear() {
  if (!std::exchange(shown_, false)) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

}  // namespace rwkv::cli
