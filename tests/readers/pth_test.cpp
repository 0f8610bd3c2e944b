// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "checkpoint/checkpoint.h"
#include "checkpoint_bytes.h"

namespace rwkv::test {
namespace {

std::vector<float> eighths(std::size_t n) {
  std::vector<float> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(i) / 8;
  return out;
}

TEST(Pth, AllFormsOfOneModelAreEqual) {
  const auto model = contents(*open_checkpoint(data("models/random-v7.pth")));
  EXPECT_EQ(model.size(), 102u);
  for (const std::string name : {"random-v7-legacy.pth", "random-v7-views.pth", "random-v7.safetensors"})
    EXPECT_TRUE(contents(*open_checkpoint(data("models/" + name))) == model) << name;
}

TEST(Pth, HasShapesTypesAndValues) {
  const auto checkpoint = open_checkpoint(data("malformed/valid.pth"));
  EXPECT_EQ(checkpoint->format(), "pth (zip)");
  ASSERT_EQ(checkpoint->tensors().size(), 3u);
  const TensorInfo* const key = checkpoint->find("blocks.0.att.key.weight");
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->type, FileType::f32);
  EXPECT_EQ(key->shape, (std::vector<std::int64_t>{4, 6}));
  EXPECT_EQ(values(*checkpoint, *key), eighths(24));
  EXPECT_EQ(checkpoint->find("blocks.0.att.key"), nullptr);
}

TEST(Pth, ReadsColumnMajorViews) {
  const auto checkpoint = open_checkpoint(data("malformed/valid.pth"));
  const TensorInfo& value = *checkpoint->find("blocks.0.att.value.weight");
  EXPECT_EQ(value.type, FileType::f16);  // storage 0, 0.25, 0.5 ...; offset 2, strides (1, 3)
  EXPECT_EQ(values(*checkpoint, value), (std::vector<float>{0.5f, 1.25f, 2, 0.75f, 1.5f, 2.25f, 1, 1.75f, 2.5f}));
}

TEST(Pth, ReadsViewsOfLegacyStorages) {
  const auto checkpoint = open_checkpoint(data("malformed/valid-legacy.pth"));
  EXPECT_EQ(checkpoint->format(), "pth (legacy)");
  EXPECT_EQ(values(*checkpoint, *checkpoint->find("b")), (std::vector<float>{0.75f, 1, 1.25f, 1.5f, 1.75f, 2}));
}

TEST(Pth, ReadsFilesOfTorch) {
  for (const std::string name : {"valid-torch.pth", "valid-torch-legacy.pth"}) {
    const auto found = contents(*open_checkpoint(data("malformed/" + name)));
    EXPECT_EQ(found.at("a").values, eighths(24)) << name;
    EXPECT_EQ(found.at("b").values, (std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11})) << name;
    EXPECT_EQ(found.at("c").values, (std::vector<float>{0.25f, 0.625f, 1, 1.375f, 1.75f, 2.125f})) << name;
    EXPECT_EQ(found.at("d").values, (std::vector<float>{1, 1, 1, 1})) << name;
    EXPECT_EQ(found.at("e").values, (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})) << name;
    EXPECT_EQ(found.at("f").shape, (std::vector<std::int64_t>{0, 3})) << name;
    EXPECT_EQ(found.at("g").values, (std::vector<float>{2.5f})) << name;
  }
}

TEST(Pth, LooksIntoWrappersAndStripsPrefixes) {
  EXPECT_EQ(contents(*open_checkpoint(data("malformed/valid-wrapped.pth"))),
            contents(*open_checkpoint(data("malformed/valid.pth"))));
}

TEST(Pth, AcceptsOtherWaysToWriteTheSameTensors) {
  const auto expected = contents(*open_checkpoint(data("malformed/valid.pth")));
  for (const std::string name : {"valid-ordered.pth", "valid-plain-zip.pth", "valid-no-crc.pth", "valid-byte-order.pth"})
    EXPECT_EQ(contents(*open_checkpoint(data("malformed/" + name))), expected) << name;
}

TEST(Pth, AcceptsProtocol4) {
  EXPECT_EQ(contents(*open_checkpoint(data("malformed/valid-protocol-4.pth"))).at("w").values, eighths(24));
}

TEST(Pth, ReadsHalfAndBrainFloats) {
  for (const auto& [name, type] :
       {std::pair("models/random-v5.1.pth", FileType::f16), std::pair("models/random-v4-att96.pth", FileType::bf16)}) {
    const auto checkpoint = open_checkpoint(data(name));
    const TensorInfo* const emb = checkpoint->find("emb.weight");
    ASSERT_NE(emb, nullptr) << name;
    EXPECT_EQ(emb->type, type) << name;
    const auto all = values(*checkpoint, *emb);
    std::vector<float> window(65);
    checkpoint->read(*emb, 100, window);
    EXPECT_TRUE(std::equal(window.begin(), window.end(), all.begin() + 100)) << name;
    EXPECT_NE(std::accumulate(all.begin(), all.end(), 0.0f), 0.0f) << name;
  }
}

TEST(Pth, RefusesWindowsOutsideTheTensor) {
  const auto checkpoint = open_checkpoint(data("malformed/valid.pth"));
  const TensorInfo& key = *checkpoint->find("blocks.0.att.key.weight");
  std::vector<float> out(4);
  EXPECT_NO_THROW(checkpoint->read(key, 20, out));
  EXPECT_THROW(checkpoint->read(key, 21, out), ArgumentError);
  EXPECT_THROW(checkpoint->read(key, -1, out), ArgumentError);
  EXPECT_THROW(checkpoint->read(key, std::numeric_limits<std::int64_t>::max(), out), ArgumentError);
}

TEST(Pth, NamesTensorAndTypeWhenItCannotConvert) {
  const auto checkpoint = open_checkpoint(data("malformed/valid.pth"));
  std::vector<float> out(10);
  try {
    checkpoint->read(*checkpoint->find("emb.weight"), 0, out);
    FAIL();
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("valid.pth: emb.weight: expected a floating point tensor, found u8"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace rwkv::test
