// SPDX-License-Identifier: Apache-2.0
// Models with 4-bit weights against the same numbers as float32 weights: two ways through loader and kernels.
#include "checkpoint/safetensors_writer.h"
#include "golden/golden.h"
#include "kernels/cpu/bf16_x86.h"
#include "unit/made_checkpoint.h"
#include "weights/i4.h"

namespace rwkv::test {
namespace {

std::filesystem::path original(const std::string& name) {
  return model_file(name).string() + (name.ends_with(".safetensors") ? "" : ".pth");
}

enum class Written { as_numbers, as_i4 };

// The model with its `.weight` matrices but the embeddings quantised, as the strategy does it; the rest as float32.
std::filesystem::path with_i4_weights(const std::string& name, Written written) {
  const auto file = open_checkpoint(original(name));
  std::vector<TensorInfo> infos;
  std::vector<std::vector<std::byte>> contents;
  const auto add = [&](const std::string& tensor, FileType type, std::vector<std::int64_t> shape, const auto& values) {
    infos.push_back({tensor, type, std::move(shape)});
    const auto bytes = std::as_bytes(std::span(values));
    contents.emplace_back(bytes.begin(), bytes.end());
  };
  for (const TensorInfo& tensor : file->tensors()) {
    std::vector<float> values = read_tensor(*file, tensor.name);
    if (tensor.shape.size() != 2 || !tensor.name.ends_with(".weight") || tensor.name == "emb.weight") {
      add(tensor.name, FileType::f32, tensor.shape, values);
      continue;
    }
    std::vector<std::uint8_t> q(i4_bytes(tensor.count()));
    std::vector<std::uint16_t> scale(i4_scales(tensor.count()));
    quantize_i4(values, q.data(), scale.data());
    dequantize_i4(q.data(), scale.data(), values);
    const std::int64_t n_out = tensor.shape[0], n_in = tensor.shape[1];
    if (written == Written::as_numbers) {
      add(tensor.name, FileType::f32, tensor.shape, values);
    } else {
      add(tensor.name, FileType::u8, {n_out, i4_bytes(n_in)}, q);
      add(tensor.name + kI4Scale, FileType::bf16, {n_out, i4_scales(n_in)}, scale);
    }
  }
  auto path = temporary_file(written == Written::as_i4 ? "i4.safetensors" : "numbers.safetensors");
  SafetensorsWriter writer(path, infos, {});
  for (const auto& content : contents) writer.write(content);
  writer.commit();
  return path;
}

struct Logits {
  std::vector<float> values;
  std::size_t n_vocab = 0;
  std::int64_t bytes = 0;
};

Logits run(const std::filesystem::path& path, const char* strategy, std::span<const Token> tokens, std::size_t length) {
  const Model model(path, strategy);
  State state = model.new_state();
  Logits out{feed(model, state, tokens, {length}), static_cast<std::size_t>(model.config().n_vocab), model.weight_bytes()};
  return out;
}

class Int4Models : public testing::TestWithParam<GoldenModel> {
 protected:
  void SetUp() override { RWKV_SKIP_WITHOUT(original(GetParam().file)); }
};

// Few rows of x are rounded to 2^-15 of their largest number (kernels/cpu/digits-inl.h): 1 / 64 of what the 8 bits of bf16
// weights do, which change logits by up to 0.17 (logits_test.cpp). Seen: 1.8e-3.
constexpr double kBound = 5e-3;

// More rows are rounded as those of bf16 models, where the processor multiplies bfloat16.
// Seen: 0.012 (8 bits of x) and 0.008.
constexpr double kRoundedBound = 0.03;

// Token by token, in few rows and all at once: all kernels.
TEST_P(Int4Models, LogitsAreThoseOfTheSameNumbersAsFloat32) {
  const auto tokens = load_golden(GetParam().golden).tokens;
  const auto numbers = with_i4_weights(GetParam().file, Written::as_numbers);
  const auto packed = with_i4_weights(GetParam().file, Written::as_i4);
  for (const std::size_t length : {1, 5, 12, 48}) {
    const Logits expected = run(numbers, "cpu fp32", tokens, length);
    for (const auto& [path, strategy] : {std::pair(packed, "cpu fp32i4"), {packed, "auto"}, {packed, "cpu fp32"}}) {
      const Logits found = run(path, strategy, tokens, length);
      if (length > 8 && cpu::bf16_kernel() && strategy != std::string("cpu fp32")) {
        EXPECT_LE(relative_error(found.values, expected.values), kRoundedBound) << strategy << " " << length;
      } else {
        EXPECT_LE(max_difference(found.values, expected.values), kBound) << strategy << " " << length;
      }
    }
  }
}

TEST_P(Int4Models, TheStrategyQuantisesAsTheFileDoes) {
  const std::string name = GetParam().file;
  const auto tokens = load_golden(GetParam().golden).tokens;
  const Logits a = run(original(name), "cpu fp32i4", tokens, 48),
               b = run(with_i4_weights(name, Written::as_i4), "cpu fp32i4", tokens, 48);
  EXPECT_EQ(a.values, b.values);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_LT(a.bytes, run(original(name), "cpu fp32i8", tokens, 48).bytes);
}

INSTANTIATE_TEST_SUITE_P(Random, Int4Models, testing::ValuesIn(kGoldenModels), test_name);

TEST(Int4, AFileHasTheParametersOfItsOriginal) {
  const CheckpointInfo info = inspect(with_i4_weights("random-v7", Written::as_i4));
  EXPECT_EQ(info.parameters, inspect(original("random-v7")).parameters);
  EXPECT_EQ(info.type, "i4");
}

TEST(Int4, MatricesWithoutWholeGroupsStayAsTheyAre) {
  const auto path = MadeCheckpoint(7).write("without_groups");  // 40 and 72 numbers to a row
  const std::vector<Token> tokens{1, 2, 3};
  const Logits a = run(path, "cpu fp32i4", tokens, 3), b = run(path, "cpu fp32", tokens, 3);
  EXPECT_EQ(a.values, b.values);
  EXPECT_EQ(a.bytes, b.bytes);
}

TEST(Int4, ScalesOfAnotherShapeAreAnError) {
  const auto path = temporary_file("scales.safetensors");
  const auto file = open_checkpoint(with_i4_weights("random-v7", Written::as_i4));
  std::vector<TensorInfo> infos(file->tensors().begin(), file->tensors().end());
  for (TensorInfo& tensor : infos) {
    if (tensor.name == "blocks.1.ffn.key.weight.scale") tensor.shape = {tensor.shape[0], 1};
  }
  SafetensorsWriter writer(path, infos, {});
  for (const TensorInfo& tensor : infos) {
    std::vector<std::byte> content(tensor.count() * bytes_of(tensor.type));
    file->read_stored(*file->find(tensor.name), 0, content);
    writer.write(content);
  }
  writer.commit();
  const std::string text = message_of<CheckpointError>([&] { const Model model(path, "cpu fp32i4"); });
  EXPECT_NE(text.find("blocks.1.ffn.key.weight.scale: expected bf16 [256, 2] beside the 4-bit weights"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace rwkv::test
