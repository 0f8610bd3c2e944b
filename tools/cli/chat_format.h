// SPDX-License-Identifier: Apache-2.0
// The text that RWKV models know as a conversation: "User: ...\n\nAssistant: ...\n\n". Turns are separated by empty lines, so
// there are none inside a turn of the user.
#pragma once
#include <rwkv/model.h>

#include <string>
#include <string_view>
#include <vector>

namespace rwkv::cli {

// "\r\n" to "\n", runs of "\n" to one, blanks at both ends cut.
[[nodiscard]] std::string clean_turn(std::string_view text);

// Up to where the model goes on.
[[nodiscard]] std::string chat_prompt(std::string_view user_text);

// What ends an answer besides token 0: an empty line; for version 7 with the World vocabulary, whose answers have paragraphs,
// only the next turn.
[[nodiscard]] std::vector<std::string> chat_stops(const ModelConfig& config);

}  // namespace rwkv::cli
