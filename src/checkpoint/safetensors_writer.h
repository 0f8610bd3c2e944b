// SPDX-License-Identifier: Apache-2.0
// Writes a .safetensors file tensor after tensor, without holding more than the caller's current bytes.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/atomic_file.h"
#include "checkpoint/checkpoint.h"

namespace rwkv {

class SafetensorsWriter {
 public:
  using Metadata = std::map<std::string, std::string, std::less<>>;

  // Checks names and free space and writes the header. Throws ArgumentError, FileError.
  SafetensorsWriter(const std::filesystem::path& target, const std::vector<TensorInfo>& tensors, const Metadata& metadata,
                    unsigned mode = kSharedFile);

  // The next bytes of the tensors' elements: row-major, little-endian, in the order of `tensors`, in pieces of any size.
  void write(std::span<const std::byte> bytes);

  // Throws ArgumentError if elements are missing, FileError. Without it the file does not appear.
  void commit();

 private:
  SafetensorsWriter(const std::filesystem::path& target, const std::string& header, std::uint64_t bytes, unsigned mode);

  AtomicFile file_;
  std::string path_;
  std::uint64_t left_;  // bytes of elements still to come
};

// The file's first bytes: length and JSON, padded with spaces so that the elements start at a multiple of 64.
// Throws ArgumentError.
[[nodiscard]] std::string safetensors_header(const std::vector<TensorInfo>& tensors,
                                             const SafetensorsWriter::Metadata& metadata);

}  // namespace rwkv
