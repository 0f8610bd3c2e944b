// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/byte_source.h"

#include <fcntl.h>
#include <rwkv/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "checkpoint/checked.h"
#include "message.h"

namespace rwkv {
namespace {

[[noreturn]] void fail(const std::string& path, std::string_view what, int code) {
  throw FileError(message(path, ": ", what, std::generic_category().message(code)), code);
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path) : path_(path.string()) {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    do fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail(path_, "", errno);
    struct stat status = {};
    const int failed = ::fstat(fd_, &status) != 0 ? errno : 0;
    if (failed || !S_ISREG(status.st_mode)) {
      ::close(fd_);
      if (failed) fail(path_, "", failed);
      const int code = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
      throw FileError(message(path_, ": this is ", kind_of(status.st_mode), ", not a file; name the checkpoint itself"), code);
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  ~FileSource() override { ::close(fd_); }

  [[nodiscard]] std::uint64_t size() const override { return size_; }

 protected:
  [[nodiscard]] std::size_t read_some(std::uint64_t offset, std::span<std::byte> out) const override {
    for (;;) {
      const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) fail(path_, message("reading at byte ", offset, ": "), errno);
    }
  }

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace

void ByteSource::read(std::uint64_t offset, std::span<std::byte> out) const {
  if ((Checked(offset) + out.size()) > size())
    throw CheckpointError(
        message("truncated: ", out.size(), " bytes are needed at byte ", offset, ", the file has ", size(), " bytes"));
  while (!out.empty()) {
    const std::size_t n = read_some(offset, out);
    if (n == 0)
      throw CheckpointError(message("truncated: the file had ", size(), " bytes when it was opened and now ends at ", offset));
    offset += n;
    out = out.subspan(n);
  }
}

std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path) { return std::make_unique<FileSource>(path); }

std::size_t MemorySource::read_some(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset >= bytes_.size()) return 0;
  const std::size_t n = std::min(out.size(), bytes_.size() - static_cast<std::size_t>(offset));
  std::memcpy(out.data(), bytes_.data() + offset, n);
  return n;
}

}  // namespace rwkv
