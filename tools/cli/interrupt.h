// SPDX-License-Identifier: Apache-2.0
// Ctrl-C as a question the program asks now and then. A second Ctrl-C before the first was noticed ends the program at once.
#pragma once

namespace rwkv::cli {

// From here on SIGINT and SIGTERM are only noted.
void note_interrupts();

[[nodiscard]] bool interrupted() noexcept;

// True once per noted interrupt.
bool take_interrupt() noexcept;

}  // namespace rwkv::cli
