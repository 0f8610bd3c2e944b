// SPDX-License-Identifier: Apache-2.0
// Ctrl-C during long work.
#pragma once
#include <rwkv/model.h>

namespace rwkv::python {

// Runs Python's signal handlers every 20 ms and ends the work when one raises, KeyboardInterrupt as a rule. Called with the GIL
// held; the work releases it. Only the main thread runs handlers; elsewhere it does nothing.
[[nodiscard]] Poll poll_signals();

}  // namespace rwkv::python
