// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/atomic_file.h"

#include <fcntl.h>
#include <rwkv/error.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>

#include "message.h"

namespace rwkv {
namespace {

constexpr std::size_t kMostAtOnce = 1 << 30;  // Linux writes at most 2 GiB per call
constexpr int kMostNames = 16;

std::string text_of(int code) { return std::generic_category().message(code); }

std::filesystem::path folder_of(const std::filesystem::path& target) {
  return target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target, unsigned mode) : target_(std::move(target)) {
  std::error_code ignored;
  if (!target_.has_filename() || std::filesystem::is_directory(target_, ignored)) fail("cannot be written", EISDIR);
  std::random_device random;
  for (int i = 0; i < kMostNames && fd_ < 0; ++i) {
    temporary_ = target_;
    temporary_ += message(".tmp.", ::getpid(), ".", random());
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, static_cast<mode_t>(mode));
    if (fd_ < 0 && errno != EEXIST && errno != EINTR) break;
  }
  if (fd_ < 0) fail("cannot be written", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what, int code) const {
  throw FileError(message(target_.string(), ": ", what, ": ", text_of(code)), code);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), kMostAtOnce));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("writing failed", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::commit() {
  if (fd_ < 0) fail("is written already", EBADF);
  if (::fsync(fd_) != 0) fail("writing to disk failed", errno);
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0 && errno != EINTR) fail("closing failed", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("renaming the complete file failed", errno);
  temporary_.clear();
  // The name itself is on disk only after this. File systems that cannot sync a folder say EINVAL.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail("is written, but its folder cannot be opened to sync it", errno);
  const int code = ::fsync(folder) != 0 ? errno : 0;
  ::close(folder);
  if (code != 0 && code != EINVAL) fail("is written, but syncing its folder failed", code);
}

void require_free_space(const std::filesystem::path& target, std::uint64_t bytes) {
  struct statvfs status = {};
  const auto folder = folder_of(target);
  if (::statvfs(folder.c_str(), &status) != 0) throw FileError(message(folder.string(), ": ", text_of(errno)), errno);
  const std::uint64_t blocks = bytes / status.f_frsize + (bytes % status.f_frsize != 0);
  if (blocks > status.f_bavail)
    throw FileError(message(target.string(), ": needs ", bytes, " bytes, ", folder.string(), " has ",
                            status.f_bavail * status.f_frsize, " free"),
                    ENOSPC);
}

}  // namespace rwkv
