// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "checkpoint_bytes.h"

namespace rwkv::test {
namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("rwkv-bytes-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

FileError error_of_path(const std::filesystem::path& path) {
  try {
    (void)open_checkpoint(path);
  } catch (const FileError& error) {
    return error;
  }
  return {"it opened", 0};
}

TEST(ByteSource, NamesBothFilesWhenNeitherExists) {
  const FileError error = error_of_path("/nowhere/model");
  EXPECT_EQ(error.code, ENOENT);
  EXPECT_STREQ(error.what(), "/nowhere/model: no such file, and no /nowhere/model.pth either");
}

TEST(ByteSource, FindsThePathWithoutItsExtension) {
  EXPECT_EQ(open_checkpoint(data("malformed/valid"))->path(), data("malformed/valid.pth").string());
}

TEST(ByteSource, RefusesFolders) {
  const FileError error = error_of_path(data("malformed"));
  EXPECT_EQ(error.code, EISDIR);
  EXPECT_NE(std::string(error.what()).find("this is a folder"), std::string::npos);
}

TEST(ByteSource, RefusesDevices) {
  EXPECT_NE(std::string(error_of_path("/dev/zero").what()).find("a device"), std::string::npos);
}

TEST(ByteSource, RefusesPipesWithoutWaiting) {
  const Folder folder;
  const auto pipe = folder.path / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(std::string(error_of_path(pipe).what()).find("a pipe"), std::string::npos);
}

TEST(ByteSource, ReportsAnEmptyPath) { EXPECT_EQ(error_of_path("").code, ENOENT); }

TEST(ByteSource, NoticesAFileThatShrinks) {
  const Folder folder;
  const auto path = folder.path / "x.safetensors";
  std::filesystem::copy_file(data("malformed/valid.safetensors"), path);
  const auto checkpoint = open_checkpoint(path);
  std::filesystem::resize_file(path, 300);
  EXPECT_THROW((void)contents(*checkpoint), CheckpointError);
}

TEST(ByteSource, RefusesRangesThatWrap) {
  const auto source = source_of("0123456789");
  std::array<std::byte, 4> out;
  EXPECT_THROW(source->read(7, out), CheckpointError);
  EXPECT_THROW(source->read(std::uint64_t(-2), out), CheckpointError);
  EXPECT_NO_THROW(source->read(6, out));
}

// Gives at most three bytes per call, as a network file system may.
class SlowSource final : public ByteSource {
 public:
  explicit SlowSource(std::string bytes, std::uint64_t ends = ~std::uint64_t(0)) : bytes_(std::move(bytes)), ends_(ends) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }

 protected:
  [[nodiscard]] std::size_t read_some(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= ends_) return 0;
    const std::size_t n = std::min({std::size_t(3), out.size(), bytes_.size() - static_cast<std::size_t>(offset)});
    std::memcpy(out.data(), bytes_.data() + offset, n);
    return n;
  }

 private:
  std::string bytes_;
  std::uint64_t ends_;
};

TEST(ByteSource, ContinuesShortReads) {
  for (const auto& file : valid_files()) {
    const auto slow = open_source("slow", std::make_unique<SlowSource>(malformed(file)));
    EXPECT_EQ(contents(*slow), contents(*open_bytes(malformed(file)))) << file;
  }
}

TEST(ByteSource, ReportsAFileThatEndsEarly) {
  const std::string bytes = malformed("valid.pth");
  for (std::uint64_t end = 0; end < bytes.size(); ++end)
    EXPECT_THROW((void)contents(*open_source("slow", std::make_unique<SlowSource>(bytes, end))), CheckpointError) << end;
}

}  // namespace
}  // namespace rwkv::test
