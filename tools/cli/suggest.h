// SPDX-License-Identifier: Apache-2.0
// The option that was probably meant.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace rwkv::cli {

// The candidate that fewest edits turn into `word`; empty when none is near enough to be meant.
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace rwkv::cli
