// SPDX-License-Identifier: Apache-2.0
#include "cli/prompt_source.h"

#include "cli/exit_codes.h"
#include "cli/interrupt.h"
#include "message.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace rwkv::cli {
namespace {

constexpr std::size_t kPiece = 1 << 20, kLongestPiece = 16 << 20;

bool visible(char c) { return c > ' ' && c < '\x7f'; }

// Steps back from `at` to the first byte of a character.
std::size_t character_start(std::string_view text, std::size_t at) {
  const std::size_t least = at - std::min<std::size_t>(at, 3);
  for (std::size_t i = at; i > least; --i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return i;
  return at;
}

[[noreturn]] void fail(const std::string& name, int code) {
  throw FileError(message(printable(name), ": ", std::strerror(code)), code);
}

}  // namespace

SafeCut::SafeCut(const Tokenizer& tokenizer) {
  for (Token id = 0; id < tokenizer.size(); ++id) {
    const std::string_view bytes = tokenizer.bytes(id);
    for (std::size_t i = 1; i < bytes.size(); ++i)
      if (bytes[i - 1] == '\n') follows_newline_[static_cast<unsigned char>(bytes[i])] = true;
  }
}

std::size_t SafeCut::last_in(std::string_view text) const {
  for (std::size_t i = text.size(); i > 2; --i) {
    const char next = text[i - 1];
    if (text[i - 2] != '\n' || !visible(text[i - 3]) || !visible(next)) continue;
    if (!follows_newline_[static_cast<unsigned char>(next)]) return i - 1;
  }
  return 0;
}

PromptSource::PromptSource(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  struct stat info {};
  if (::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode)) total_ = info.st_size;
  if (S_ISDIR(info.st_mode)) fail(name_, EISDIR);
}

PromptSource::PromptSource(PromptSource&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      buffer_(std::move(other.buffer_)),
      ended_(other.ended_),
      given_(other.given_),
      total_(other.total_) {}

PromptSource::~PromptSource() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

PromptSource PromptSource::text(std::string text) {
  PromptSource source(-1, {});
  source.total_ = std::int64_t(text.size());
  source.buffer_ = std::move(text);
  source.ended_ = true;
  return source;
}

PromptSource PromptSource::file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path.string(), errno);
  return {fd, path.string()};
}

PromptSource PromptSource::standard_input() { return {STDIN_FILENO, "standard input"}; }

void PromptSource::fill(std::size_t size) {
  while (!ended_ && buffer_.size() < size) {
    const std::size_t old = buffer_.size();
    buffer_.resize(old + 65536);
    const ssize_t n = ::read(fd_, buffer_.data() + old, 65536);
    const int code = errno;
    buffer_.resize(old + (n > 0 ? std::size_t(n) : 0));
    if (n < 0 && code != EINTR) fail(name_, code);
    if (n < 0 && interrupted()) throw Interrupted();
    if (n != 0) continue;
    ended_ = true;
    const std::size_t line_end = buffer_.ends_with("\r\n") ? 2 : buffer_.ends_with('\n') ? 1 : 0;
    buffer_.resize(buffer_.size() - line_end);
  }
}

std::string PromptSource::take(std::size_t size) {
  std::string piece = buffer_.substr(0, size);
  buffer_.erase(0, size);
  given_ += std::int64_t(size);
  return piece;
}

std::optional<std::string> PromptSource::next(const SafeCut& cut) {
  std::size_t wanted = kPiece;
  fill(wanted + 1);
  if (buffer_.empty()) return {};
  while (buffer_.size() > wanted) {
    if (const std::size_t at = cut.last_in(std::string_view(buffer_).substr(0, wanted + 1))) return take(at);
    if (wanted == kLongestPiece) return take(character_start(buffer_, kPiece));
    wanted = std::min(2 * wanted, kLongestPiece);
    fill(wanted + 1);
  }
  return take(buffer_.size());
}

}  // namespace rwkv::cli
