// SPDX-License-Identifier: Apache-2.0
// One line of a World vocabulary file, parsed by hand: a line is data, never code.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rwkv {

struct WorldLine {
  std::uint32_t id = 0;
  std::string token;
};

// `line` without its end: `<id> <literal> <byte length>`. Throws TokenizerError that says what is wrong, without file and line.
[[nodiscard]] WorldLine parse_world_line(std::string_view line);

}  // namespace rwkv
