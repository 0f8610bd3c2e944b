// SPDX-License-Identifier: Apache-2.0
// A file that appears under its name complete or not at all: written beside it, then renamed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace rwkv {

inline constexpr unsigned kPrivateFile = 0600;  // states: they hold a conversation
inline constexpr unsigned kSharedFile = 0644;   // models; the process' umask applies

// All members throw FileError. Without commit() nothing is left behind but a file `name.tmp.<pid>.<random>` after a crash.
class AtomicFile {
 public:
  AtomicFile(std::filesystem::path target, unsigned mode);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void commit();  // to disk, then under its name

 private:
  [[noreturn]] void fail(const char* what, int code) const;

  std::filesystem::path target_, temporary_;
  int fd_ = -1;
};

// Throws FileError (ENOSPC) if the folder of `target` has less room than `bytes`.
void require_free_space(const std::filesystem::path& target, std::uint64_t bytes);

}  // namespace rwkv
