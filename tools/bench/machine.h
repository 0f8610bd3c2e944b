// SPDX-License-Identifier: Apache-2.0
// What Linux says about the machine and this process.
#pragma once
#include <cstdint>
#include <string>

namespace rwkv::bench {

// Cores that this process may use.
[[nodiscard]] int usable_cores();

// Of all last-level caches together; 0 where the system does not say.
[[nodiscard]] std::int64_t last_level_cache_bytes();

// Memory that can be had without swapping.
[[nodiscard]] std::int64_t available_bytes();

// Of this process, now: file pages that it has mapped and read count too.
[[nodiscard]] std::int64_t resident_bytes();

// "AMD EPYC 9R45, 2 cores, 32 MiB L3, 16 GiB": one line without control characters.
[[nodiscard]] std::string machine_text();

}  // namespace rwkv::bench
