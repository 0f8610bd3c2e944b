// SPDX-License-Identifier: Apache-2.0
// Checkpoints in memory, for tests of the readers.
#pragma once
#include <rwkv/error.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/file_checkpoint.h"
#include "test_data.h"

namespace rwkv::test {

inline std::unique_ptr<ByteSource> source_of(std::string_view bytes) {
  std::vector<std::byte> copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return std::make_unique<MemorySource>(std::move(copy));
}

inline std::unique_ptr<Checkpoint> open_bytes(std::string_view bytes) { return open_source("memory", source_of(bytes)); }

inline std::vector<float> values(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.count()));
  if (tensor.type == FileType::u8) {
    std::vector<std::uint8_t> bytes(out.size());
    checkpoint.read_bytes(tensor, 0, bytes);
    out.assign(bytes.begin(), bytes.end());
  } else if (tensor.type <= FileType::bf16) {
    checkpoint.read(tensor, 0, out);
  }
  return out;
}

struct Contents {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  bool operator==(const Contents&) const = default;
};

// Everything that can be read.
inline std::map<std::string, Contents> contents(const Checkpoint& checkpoint) {
  std::map<std::string, Contents> out;
  for (const auto& tensor : checkpoint.tensors()) out[tensor.name] = {tensor.shape, values(checkpoint, tensor)};
  return out;
}

// The message of the CheckpointError that opening ends with; empty if it opens and all its tensors can be read.
inline std::string error_of(std::string_view bytes) {
  try {
    (void)contents(*open_bytes(bytes));
  } catch (const CheckpointError& error) {
    return error.what();
  }
  return "";
}

// Small checkpoints that open: hand-made ones and real ones of torch.
inline std::vector<std::string> valid_files() {
  std::vector<std::string> out;
  for (const auto& file : std::filesystem::directory_iterator(data("malformed")))
    if (const auto name = file.path().filename().string(); name.starts_with("valid")) out.push_back(name);
  EXPECT_GE(out.size(), 11u);
  return out;
}

inline std::string malformed(const std::string& name) { return read_file(data("malformed/" + name)); }

// A safetensors file around `header`.
inline std::string safetensors_bytes(const std::string& header, std::string_view elements = "") {
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, sizeof length);
  return out + header + std::string(elements);
}

}  // namespace rwkv::test
