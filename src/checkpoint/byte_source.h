// SPDX-License-Identifier: Apache-2.0
// Random access to bytes of known size: all that readers see of a file. Tests supply sources in memory and faulty ones.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace rwkv {

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  [[nodiscard]] virtual std::uint64_t size() const = 0;

  // Fills `out` from `offset`; short reads are continued. May be called by several threads.
  // Throws CheckpointError if the bytes end before, FileError if the operating system fails.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 protected:
  // Reads up to out.size() bytes and returns how many; 0 means that the file ends here.
  [[nodiscard]] virtual std::size_t read_some(std::uint64_t offset, std::span<std::byte> out) const = 0;
};

// Opens a regular file; anything else (folder, FIFO, device) is refused without waiting on it. Throws FileError.
[[nodiscard]] std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path);

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }

 protected:
  [[nodiscard]] std::size_t read_some(std::uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace rwkv
