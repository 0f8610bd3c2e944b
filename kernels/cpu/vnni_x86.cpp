// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/vnni_x86.h"

#include <atomic>

namespace rwkv::cpu {
namespace {

std::atomic<bool> is_hidden = false;

}  // namespace

#if defined(__x86_64__)
bool has_vnni() {
  static const bool found = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  return found && !is_hidden;
}
#else
bool has_vnni() { return false; }
#endif

void hide_vnni(bool hidden) { is_hidden = hidden; }

}  // namespace rwkv::cpu
