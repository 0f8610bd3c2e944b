// SPDX-License-Identifier: Apache-2.0
// stdout and stderr as people and pipes want them.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace rwkv::cli {

[[nodiscard]] bool is_terminal(int fd) noexcept;

// UTF-8 text without the characters that steer a terminal: C0 but "\n" and "\t", DEL, C1.
[[nodiscard]] std::string without_controls(std::string_view text);

// Text to stdout, each piece at once. Throws OutputClosed when nobody reads any more, Error when it cannot be written.
class Output {
 public:
  enum class Filter { automatic, none };  // automatic: without_controls() on a terminal

  explicit Output(Filter filter);
  void write(std::string_view text);

 private:
  bool filtered_;
};

// One line on stderr that fills up; nothing at all when stderr is not a terminal.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::int64_t done, std::int64_t total);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  bool shown_ = false;
  Clock::time_point next_;  // quick work shows no bar
};

}  // namespace rwkv::cli
