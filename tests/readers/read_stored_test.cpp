// SPDX-License-Identifier: Apache-2.0
// Several threads read one checkpoint; and what read_stored refuses.
#include <atomic>
#include <thread>

#include "checkpoint_bytes.h"

namespace rwkv::test {
namespace {

std::vector<std::byte> stored(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  std::vector<std::byte> out(static_cast<std::size_t>(tensor.count() * bytes_of(tensor.type)));
  checkpoint.read_stored(tensor, 0, out);
  return out;
}

TEST(ReadStored, ThreadsReadOneCheckpointAtOnce) {
  for (const auto& file : valid_files()) {
    const auto checkpoint = open_checkpoint(data("malformed/" + file));
    const auto expected = contents(*checkpoint);
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        bool same = contents(*checkpoint) == expected;
        for (const auto& tensor : checkpoint->tensors())
          same = same && stored(*checkpoint, tensor) == stored(*checkpoint, tensor);
        right += same ? 1 : 0;
      });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(right, 4) << file;
  }
}

// What a little-endian machine holds: the elements of read() and read_bytes() are those of read_stored().
TEST(ReadStored, StoredElementsAreTheValues) {
  for (const auto& file : valid_files()) {
    const auto checkpoint = open_bytes(malformed(file));
    for (const auto& tensor : checkpoint->tensors()) {
      const auto bytes = stored(*checkpoint, tensor);
      const auto expected = values(*checkpoint, tensor);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        if (tensor.type == FileType::f32) {
          float x = 0;
          std::memcpy(&x, bytes.data() + i * sizeof x, sizeof x);
          ASSERT_EQ(x, expected[i]) << file << " " << tensor.name;
        } else if (tensor.type == FileType::u8) {
          ASSERT_EQ(static_cast<float>(bytes[i]), expected[i]) << file << " " << tensor.name;
        }
      }
    }
  }
}

TEST(ReadStored, StoredElementsAreWholeAndInsideTheTensor) {
  const auto checkpoint = open_bytes(malformed("valid.safetensors"));
  for (const auto& tensor : checkpoint->tensors()) {
    std::vector<std::byte> out(static_cast<std::size_t>(tensor.count() * bytes_of(tensor.type)));
    EXPECT_THROW(checkpoint->read_stored(tensor, 1, out), ArgumentError);
    EXPECT_THROW(checkpoint->read_stored(tensor, -1, out), ArgumentError);
    TensorInfo another = tensor;
    another.type = FileType::f64;  // the file knows better
    out.push_back(std::byte(0));
    EXPECT_THROW(checkpoint->read_stored(another, 0, out), ArgumentError);
    another.name += "x";
    EXPECT_THROW(checkpoint->read_stored(another, 0, out), ArgumentError);
  }
}

}  // namespace
}  // namespace rwkv::test
