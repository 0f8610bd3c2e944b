// SPDX-License-Identifier: Apache-2.0
// Writes a checkpoint in another type, tensor by tensor, in bounded memory.
#pragma once
#include "checkpoint/checkpoint.h"
#include "convert/plan.h"

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace rwkv::cli {

struct Conversion {
  const Checkpoint& input;
  std::vector<Step> steps;
  std::string vocabulary;  // content of the file that becomes the u8 tensor "tokenizer"; empty: none
  std::map<std::string, std::string, std::less<>> metadata;
};

// `progress` gets bytes of the input read and to be read; what it throws ends the work. The file at `output` is replaced when
// the new one is complete and on disk. Throws FileError, CheckpointError.
void write_converted(const Conversion& conversion, const std::filesystem::path& output,
                     const std::function<void(std::int64_t done, std::int64_t total)>& progress);

}  // namespace rwkv::cli
