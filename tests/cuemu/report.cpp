// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "cuemu/core.h"
#include "cuemu/cuemu.h"

namespace cuemu {
namespace {
std::string first_report;
}  // namespace

Config& config() {
  static Config settings;
  return settings;
}

Counts& counts() {
  static Counts asked;
  return asked;
}

std::string at(const Where& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

void report(std::string text) {
  if (first_report.empty()) first_report = std::move(text);
}
const std::string& current_report() { return first_report; }
std::string take_report() { return std::exchange(first_report, {}); }

}  // namespace cuemu
