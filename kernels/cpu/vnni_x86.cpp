// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/vnni_x86.h"

#include <atomic>

namespace rwkv::cpu {
namespace {

std::atomic<bool> hides_vnni = false, hides_vbmi = false;

}  // namespace

#if defined(__x86_64__)
bool has_vnni() {
  static const bool found = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  return found && !hides_vnni;
}
bool has_vbmi() {
  static const bool found = __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
  return found && !hides_vbmi && has_vnni();
}
#else
bool has_vnni() { return false; }
bool has_vbmi() { return false; }
#endif

void hide_vnni(bool hidden) { hides_vnni = hidden; }
void hide_vbmi(bool hidden) { hides_vbmi = hidden; }

}  // namespace rwkv::cpu
