// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <csignal>

namespace rwkv::cli {
namespace {

volatile std::sig_atomic_t noted = 0;

// Async-signal-safe: sets a flag, or restores the default action and repeats the signal.
void on_signal(int number) {
  if (noted) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  noted = 1;
}

}  // namespace

void note_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a read of the keyboard returns with EINTR
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() noexcept { return noted != 0; }

bool take_interrupt() noexcept {
  const bool was = noted != 0;
  noted = 0;
  return was;
}

}  // namespace rwkv::cli
