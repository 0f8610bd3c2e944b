// SPDX-License-Identifier: Apache-2.0
#include "cli/bundled_model.h"

#include "cli/exit_codes.h"

namespace rwkv::cli {

std::filesystem::path bundled_model() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path places[] = {(program.parent_path() / RWKV_DEMO_RELATIVE).lexically_normal(), RWKV_DEMO_SOURCE,
                             RWKV_DEMO_INSTALLED};
  for (const fs::path& place : places)
    if (fs::is_regular_file(place, ignored)) return place;
  throw UsageError("give a model with -m: the bundled one is not installed");
}

}  // namespace rwkv::cli
