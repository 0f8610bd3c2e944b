// SPDX-License-Identifier: Apache-2.0
// A file's named tensors: an inventory that was checked completely, and their values on request.
#pragma once
#include <rwkv/error.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rwkv {

enum class FileType { f64, f32, f16, bf16, u8, i8, i16, i32, i64, boolean };

[[nodiscard]] std::string_view name_of(FileType type);  // "bf16"
[[nodiscard]] std::int64_t bytes_of(FileType type);

struct TensorInfo {
  std::string name;
  FileType type;
  std::vector<std::int64_t> shape;

  [[nodiscard]] std::int64_t count() const;  // elements; the product cannot wrap in an opened checkpoint
};

// The reads may be called by several threads at once, each with its own `out`.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  [[nodiscard]] const std::string& path() const { return path_; }      // for messages
  [[nodiscard]] const std::string& format() const { return format_; }  // "pth (zip)", "pth (legacy)", "safetensors"
  [[nodiscard]] std::span<const TensorInfo> tensors() const { return tensors_; }
  [[nodiscard]] const TensorInfo* find(std::string_view name) const;  // null: no such tensor
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }

  // Elements [first, first + out.size()) in row-major order, as float32. The tensor has a floating point type.
  virtual void read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) const = 0;

  // The same for tensors of bytes (u8).
  virtual void read_bytes(const TensorInfo& tensor, std::int64_t first, std::span<std::uint8_t> out) const = 0;

  // As many elements as fill `out`, in row-major order, as they are stored: any type, no conversion, little-endian. The size of
  // `out` is a multiple of the type's.
  virtual void read_stored(const TensorInfo& tensor, std::int64_t first, std::span<std::byte> out) const = 0;

 protected:
  std::string path_, format_;
  std::vector<TensorInfo> tensors_;  // sorted by name
  std::map<std::string, std::string, std::less<>> metadata_;
};

// Opens a file by its content: torch .pth (zip or older form) or safetensors. If `path` does not exist, `path`.pth is tried.
// Throws FileError, CheckpointError.
[[nodiscard]] std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& path);

}  // namespace rwkv
