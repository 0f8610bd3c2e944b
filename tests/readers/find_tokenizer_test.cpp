// SPDX-License-Identifier: Apache-2.0
// Which tokenizer a model gets.
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tokenizer_testing.h"

namespace rwkv {
namespace {

namespace fs = std::filesystem;
using test::contains;

// An empty folder with a checkpoint, and no Python packages to be found in the home folder.
class FindTokenizer : public testing::Test {
 protected:
  FindTokenizer() {
    fs::create_directories(folder_);
    setenv("HOME", folder_.c_str(), 1);
    unsetenv("VIRTUAL_ENV");
    unsetenv("CONDA_PREFIX");
    write_model("");
  }
  ~FindTokenizer() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& content) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }

  // A safetensors file with one weight and, if `vocabulary` is not empty, the tensor "tokenizer".
  void write_model(const std::string& vocabulary, const std::string& weight = "weight") {
    const auto tensor = [](const char* type, std::size_t count, std::size_t from, std::size_t to) {
      return nlohmann::json{{"dtype", type}, {"shape", {count}}, {"data_offsets", {from, to}}};
    };
    nlohmann::json header = {{weight, tensor("F32", 1, 0, 4)}};
    if (!vocabulary.empty()) header["tokenizer"] = tensor("U8", vocabulary.size(), 4, 4 + vocabulary.size());
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::string size(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) size[i] = static_cast<char>(text.size() >> 8 * i);
    model_ = write("model.safetensors", size + text + std::string(4, '\0') + vocabulary);
  }

  std::string error(int n_vocab, const std::optional<fs::path>& file = {}) {
    try {
      (void)find_tokenizer(model_, n_vocab, file);
    } catch (const TokenizerError& thrown) {
      return thrown.what();
    }
    return {};
  }

  const std::string world_ = test::read_file(test::data("tokenizer/small_world.txt"));
  const std::string bpe_ = test::read_file(test::data("tokenizer/small_bpe.json"));
  const int n_vocab_ = test::small_world()->size() + 6;
  fs::path folder_ = fs::path(testing::TempDir()) / ("find_tokenizer_" + std::to_string(getpid()));
  fs::path model_;
};

TEST_F(FindTokenizer, ExplicitFileComesFirst) {
  write_model(world_);
  EXPECT_EQ(find_tokenizer(model_, n_vocab_, write("other/my.json", bpe_))->kind(), "bpe");
}

TEST_F(FindTokenizer, VocabularyInsideTheCheckpointComesSecond) {
  write_model(world_);
  write("tokenizer.json", bpe_);
  const FoundTokenizer found = find_vocabulary(model_, n_vocab_);
  EXPECT_EQ(found.tokenizer->kind(), "world");
  EXPECT_EQ(found.content, world_);
}

TEST_F(FindTokenizer, FileBesideTheModelComesThird) {
  write("tokenizer.json", bpe_);
  EXPECT_EQ(find_tokenizer(model_, n_vocab_)->kind(), "bpe");
  write("model.vocab.txt", world_);  // of this model, so before the general names
  EXPECT_EQ(find_vocabulary(model_, n_vocab_).source, (folder_ / "model.vocab.txt").string());
}

TEST_F(FindTokenizer, PassesOverFilesThatDoNotFit) {
  write("rwkv_vocab_v20230424.txt", world_);
  EXPECT_TRUE(contains(error(50'277), "get 20B_tokenizer.json"));
  EXPECT_TRUE(contains(error(50'277), "token ids, but the model has 50277 outputs"));
  EXPECT_TRUE(contains(error(300), "this vocabulary is of another model"));
  write("20B_tokenizer.json", "{");
  EXPECT_TRUE(contains(error(50'277), "damaged JSON"));
}

TEST_F(FindTokenizer, ExplicitFileMustFit) {
  EXPECT_TRUE(contains(error(300, write("my.txt", world_)), "this vocabulary is of another model"));
  EXPECT_THROW((void)find_tokenizer(model_, 300, folder_ / "missing.txt"), FileError);
}

TEST_F(FindTokenizer, ByteModelsNeedNoFile) {
  EXPECT_EQ(find_tokenizer(model_, 256)->kind(), "bytes");
  EXPECT_EQ(find_tokenizer(model_, 300, "bytes")->kind(), "bytes");
}

TEST_F(FindTokenizer, LooksIntoInstalledPackages) {
  const auto world = test::shared("tokenizer/rwkv_vocab_v20230424.txt");
  RWKV_SKIP_WITHOUT(world);
  const std::string name = "lib/python3.11/site-packages/rwkv/rwkv_vocab_v20230424.txt";
  const fs::path file = write("venv/" + name, test::read_file(world));
  setenv("VIRTUAL_ENV", (folder_ / "venv").c_str(), 1);
  EXPECT_EQ(find_vocabulary(model_, 65'536).source, file.string());
  EXPECT_NE(error(50'277), "");  // says nothing to a Pile model
}

TEST_F(FindTokenizer, ErrorNamesTheFileToGet) {
  EXPECT_TRUE(contains(error(50'277), "get 20B_tokenizer.json"));
  EXPECT_TRUE(contains(error(1'000), "rwkv_vocab_v20230424.txt for World models"));
  EXPECT_TRUE(contains(error(1'000), "--tokenizer FILE"));
}

TEST_F(FindTokenizer, RejectsTensorsOfOtherTypes) {
  write_model("", "tokenizer");
  EXPECT_TRUE(contains(error(n_vocab_), "tokenizer: expected a vector of u8, found f32 [1]"));
}

}  // namespace
}  // namespace rwkv
