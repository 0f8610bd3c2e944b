// SPDX-License-Identifier: Apache-2.0
// How the programs end: one line on stderr and an exit code that scripts can tell apart (docs/cli.md).
#pragma once
#include <stdexcept>
#include <string_view>

namespace rwkv::cli {

enum ExitCode {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,  // a wrong option, strategy or value
  kFile = 3,   // a model, vocabulary, state or prompt file
  kMemory = 4,
  kInterrupted = 130  // 128 + SIGINT, as shells report it
};

// The command line is wrong.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Ctrl-C, where nothing is left to be done but to leave.
class Interrupted : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "interrupted"; }
};

// The reader of stdout has gone (`| head`): leave without a word.
class OutputClosed : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "output closed"; }
};

// Inside a catch block: tells stderr what happened and returns the exit code for it.
[[nodiscard]] ExitCode report_exception(std::string_view program) noexcept;

}  // namespace rwkv::cli
