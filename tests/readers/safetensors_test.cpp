// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include <unistd.h>

#include <fstream>

#include "checkpoint/safetensors_writer.h"
#include "checkpoint_bytes.h"
#include "message.h"

namespace rwkv::test {
namespace {

std::string spec(int begin, int end) {
  return message("{\"dtype\":\"U8\",\"shape\":[", end - begin, "],\"data_offsets\":[", begin, ",", end, "]}");
}

TEST(Safetensors, HasMetadataAndValues) {
  const auto checkpoint = open_checkpoint(data("malformed/valid.safetensors"));
  EXPECT_EQ(checkpoint->format(), "safetensors");
  EXPECT_EQ(checkpoint->metadata().at("format"), "pt");
  EXPECT_EQ(checkpoint->metadata().at("note"), "caf\xc3\xa9");
  EXPECT_EQ(contents(*checkpoint).at("b").values[3], 0.75f);
  std::vector<std::uint8_t> bytes(3);
  checkpoint->read_bytes(*checkpoint->find("c"), 4, bytes);
  EXPECT_EQ(bytes, (std::vector<std::uint8_t>{4, 5, 6}));
}

// The length of such a header starts with the bytes of a pickle's PROTO 2.
TEST(Safetensors, IsNoPickleWhateverItsLength) {
  std::string header = "{\"a\":" + spec(0, 2) + "}";
  header.resize(0x0280, ' ');
  EXPECT_EQ(error_of(safetensors_bytes(header, "xy")), "");
}

TEST(Safetensors, AcceptsTensorsInAnyOrderOfTheHeader) {
  const auto checkpoint = open_bytes(safetensors_bytes("{\"a\":" + spec(2, 5) + ",\"b\":" + spec(0, 2) + "}", "\1\2\3\4\5"));
  EXPECT_EQ(contents(*checkpoint).at("a").values, (std::vector<float>{3, 4, 5}));
}

TEST(Safetensors, AcceptsEmptyTensorsAndScalars) {
  const auto checkpoint = open_bytes(safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[0,1099511627776],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
      std::string(4, '\0')));
  EXPECT_EQ(checkpoint->find("a")->count(), 0);
  EXPECT_EQ(contents(*checkpoint).at("b").values, (std::vector<float>{0}));
}

TEST(Safetensors, RefusesMoreThan65536Tensors) {
  std::string header = "{\"a\":" + spec(0, 0);
  for (int i = 0; i < 65536; ++i) header += message(",\"", i, "\":", spec(0, 0));
  EXPECT_NE(error_of(safetensors_bytes(header + "}")).find("more than 65536 tensors"), std::string::npos);
}

class Writer : public testing::Test {
 protected:
  Writer() { std::filesystem::create_directories(folder_); }
  ~Writer() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::ptrdiff_t files() const { return std::distance(std::filesystem::directory_iterator(folder_), {}); }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("rwkv-writer-" + std::to_string(::getpid()));
  std::filesystem::path file_ = folder_ / "x.safetensors";
  std::vector<TensorInfo> tensors_ = {{"b", FileType::f32, {2, 2}}, {"a", FileType::u8, {3}}, {"e", FileType::f16, {0, 4}}};
};

TEST_F(Writer, WritesWhatTheReaderReads) {
  SafetensorsWriter writer(file_, tensors_, {{"note", "\"caf\xc3\xa9\""}});
  const std::vector<float> floats = {1, 2, 3, 4};
  writer.write(std::as_bytes(std::span(floats)).first(5));
  writer.write(std::as_bytes(std::span(floats)).subspan(5));
  writer.write(std::as_bytes(std::span("\7\10\11", 3)));
  EXPECT_FALSE(std::filesystem::exists(file_));
  writer.commit();
  const auto checkpoint = open_checkpoint(file_);
  EXPECT_EQ(checkpoint->metadata().at("note"), "\"caf\xc3\xa9\"");
  EXPECT_EQ(contents(*checkpoint).at("b"), (Contents{{2, 2}, floats}));
  EXPECT_EQ(contents(*checkpoint).at("a").values, (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(files(), 1);
}

TEST_F(Writer, AlignsTheElements) { EXPECT_EQ(safetensors_header(tensors_, {}).size() % 64, 0u); }

TEST_F(Writer, RefusesTooFewAndTooManyBytes) {
  SafetensorsWriter writer(file_, tensors_, {});
  EXPECT_THROW(writer.commit(), ArgumentError);
  EXPECT_THROW(writer.write(std::as_bytes(std::span("12345678901234567890", 20))), ArgumentError);
}

TEST_F(Writer, RefusesNamesThatCannotBeRead) {
  EXPECT_THROW(SafetensorsWriter(file_, {{"__metadata__", FileType::u8, {0}}}, {}), ArgumentError);
  EXPECT_THROW(SafetensorsWriter(file_, {{"a", FileType::u8, {0}}, {"a", FileType::u8, {0}}}, {}), ArgumentError);
  EXPECT_THROW(SafetensorsWriter(file_, {{"\xff", FileType::u8, {0}}}, {}), ArgumentError);
  EXPECT_THROW(SafetensorsWriter(file_, {{"a", FileType::u8, {-1}}}, {}), ArgumentError);
  EXPECT_EQ(files(), 0);
}

TEST_F(Writer, LeavesTheOldFileWhenItIsNotCommitted) {
  std::ofstream(file_) << "old";
  { SafetensorsWriter writer(file_, tensors_, {}); }
  EXPECT_EQ(read_file(file_), "old");
  EXPECT_EQ(files(), 1);
}

}  // namespace
}  // namespace rwkv::test
