// SPDX-License-Identifier: Apache-2.0
// What a build for older cards does on the emulator's.
#pragma once
#ifdef CUEMU
#include <climits>
#include <thread>

#include "cuemu/cuemu.h"

namespace rwkv::test {

// Runs it in a thread of its own, which asks the runtime anew. code: as in cuemu::Config.
template <class Run>
void with_code(int code, const Run& run) {
  cuemu::config().code = code;
  std::thread(run).join();
  cuemu::config().code = INT_MAX;
}

}  // namespace rwkv::test
#endif
