// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/atomic_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>

#include "checkpoint_bytes.h"

namespace rwkv::test {
namespace {

class AtomicFileTest : public testing::Test {
 protected:
  AtomicFileTest() { std::filesystem::create_directories(folder_); }
  ~AtomicFileTest() override { std::filesystem::remove_all(folder_); }
  static std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
  [[nodiscard]] std::ptrdiff_t files() const { return std::distance(std::filesystem::directory_iterator(folder_), {}); }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("rwkv-atomic-" + std::to_string(::getpid()));
  std::filesystem::path file_ = folder_ / "state";
};

TEST_F(AtomicFileTest, AppearsCompleteAtCommit) {
  AtomicFile file(file_, kPrivateFile);
  file.write(bytes("one "));
  EXPECT_FALSE(std::filesystem::exists(file_));
  file.write(bytes("two"));
  file.commit();
  EXPECT_EQ(read_file(file_), "one two");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, HasTheModeAskedFor) {
  AtomicFile file(file_, kPrivateFile);
  file.commit();
  struct stat status = {};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  { AtomicFile(file_, kPrivateFile).write(bytes("half")); }
  EXPECT_EQ(files(), 0);
}

TEST_F(AtomicFileTest, RefusesToCommitTwice) {
  AtomicFile file(file_, kPrivateFile);
  file.commit();
  EXPECT_THROW(file.commit(), FileError);
}

TEST_F(AtomicFileTest, NamesTheFileWhenItsFolderIsMissing) {
  try {
    AtomicFile file(folder_ / "no" / "x", kSharedFile);
    FAIL();
  } catch (const FileError& error) {
    EXPECT_EQ(error.code, ENOENT);
    EXPECT_NE(std::string(error.what()).find("no/x: cannot be written: No such file"), std::string::npos) << error.what();
  }
}

TEST_F(AtomicFileTest, RefusesAFolderAsTarget) { EXPECT_THROW(AtomicFile(folder_, kSharedFile), FileError); }

// A file size limit stands for a full disk: write() fails half way.
TEST_F(AtomicFileTest, ReportsAFailingWriteAndKeepsTheOldFile) {
  std::ofstream(file_) << "old";
  struct rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {1000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  int code = 0;
  try {
    AtomicFile(file_, kSharedFile).write(bytes(std::string(5000, 'x')));
  } catch (const FileError& error) {
    code = error.code;
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(code, EFBIG);
  EXPECT_EQ(read_file(file_), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, ChecksFreeSpaceBeforehand) {
  EXPECT_NO_THROW(require_free_space(file_, 1));
  try {
    require_free_space(file_, std::uint64_t(1) << 62);
    FAIL();
  } catch (const FileError& error) {
    EXPECT_EQ(error.code, ENOSPC);
  }
}

}  // namespace
}  // namespace rwkv::test
