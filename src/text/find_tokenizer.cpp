// SPDX-License-Identifier: Apache-2.0
// Looks for the tokenizer of a model; the order is in rwkv/tokenizer.h.
#include <rwkv/tokenizer.h>

#include <array>
#include <cstdlib>

#include "checkpoint/checkpoint.h"
#include "message.h"
#include "text/byte_tokenizer.h"
#include "text/vocabulary_file.h"

namespace rwkv {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";
constexpr const char* kNeoxFile = "20B_tokenizer.json";
constexpr int kPadding = 512;  // outputs of a model without a token: sizes are rounded up

bool is_world(int n_vocab) { return n_vocab >= 65'530 && n_vocab <= 65'536; }
bool is_neox(int n_vocab) { return n_vocab >= 50'277 && n_vocab <= 50'304; }

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

FoundTokenizer bytes() { return {std::make_shared<ByteTokenizer>(), "bytes", {}}; }

FoundTokenizer parse(std::string content, std::string source) {
  TokenizerPtr tokenizer = parse_tokenizer(content, source);
  return {std::move(tokenizer), std::move(source), std::move(content)};
}

FoundTokenizer checked(FoundTokenizer found, int n_vocab) {
  if (found.tokenizer->size() <= n_vocab) return found;
  throw TokenizerError(message(found.source, ": token ids up to ", found.tokenizer->size() - 1, ", but the model has ", n_vocab,
                               " outputs: this vocabulary is of another model"));
}

std::optional<FoundTokenizer> inside(const fs::path& path, int n_vocab) {
  const std::unique_ptr<Checkpoint> checkpoint = open_checkpoint(path);
  const TensorInfo* tensor = checkpoint->find("tokenizer");
  if (tensor == nullptr) return std::nullopt;
  const std::string source = checkpoint->path() + ": tokenizer";
  if (tensor->type != FileType::u8 || tensor->shape.size() != 1) {
    throw TokenizerError(
        message(source, ": expected a vector of u8, found ", name_of(tensor->type), " ", shape_text(tensor->shape)));
  }
  if (tensor->count() > static_cast<std::int64_t>(kMaxVocabularyBytes)) {
    throw TokenizerError(
        message(source, ": a vocabulary has at most ", kMaxVocabularyBytes, " bytes, found ", tensor->count()));
  }
  std::string content(static_cast<std::size_t>(tensor->count()), '\0');
  checkpoint->read_bytes(*tensor, 0, {reinterpret_cast<std::uint8_t*>(content.data()), content.size()});
  return checked(parse(std::move(content), source), n_vocab);
}

// Takes the first file that is a vocabulary and fits; notes in `passed` why others are not.
std::optional<FoundTokenizer> first_fitting(const std::vector<fs::path>& files, int n_vocab, std::string& passed) {
  for (const fs::path& file : files) {
    if (!is_file(file)) continue;
    try {
      FoundTokenizer found = checked(parse(read_vocabulary(file), file.string()), n_vocab);
      if (n_vocab - found.tokenizer->size() <= kPadding) return found;
      passed +=
          message("\n  ", file.string(), ": ", found.tokenizer->size(), " token ids, but the model has ", n_vocab, " outputs");
    } catch (const Error& error) {
      passed += message("\n  ", error.what());
    }
  }
  return std::nullopt;
}

std::vector<fs::path> beside(const fs::path& checkpoint) {
  const fs::path folder = checkpoint.parent_path();
  const std::string stem = checkpoint.stem().string();
  return {folder / (stem + ".vocab.txt"), folder / (stem + "_vocab.txt"), folder / kWorldFile, folder / kNeoxFile,
          folder / "tokenizer.json"};
}

// Sub-folders of `parent`; none if it cannot be read.
std::vector<fs::path> folders_in(const fs::path& parent) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) folders.push_back(at->path());
  return folders;
}

// Where Python packages are installed; Python itself is not asked.
std::vector<fs::path> package_folders() {
  std::vector<fs::path> prefixes;  // of lib/python3*/{site,dist}-packages
  const auto add_from_environment = [&](const char* variable, const char* below) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') prefixes.push_back(fs::path(value) / below);
  };
  add_from_environment("VIRTUAL_ENV", "");
  add_from_environment("CONDA_PREFIX", "");
  add_from_environment("HOME", ".local");
  if (const char* home = std::getenv("HOME")) {
    for (const fs::path& version : folders_in(fs::path(home) / ".pyenv/versions")) prefixes.push_back(version);
  }
  prefixes.insert(prefixes.end(), {"/usr/local", "/usr"});
  std::vector<fs::path> folders;
  for (const fs::path& prefix : prefixes) {
    for (const fs::path& python : folders_in(prefix / "lib")) {
      if (!python.filename().string().starts_with("python3")) continue;
      folders.push_back(python / "site-packages");
      folders.push_back(python / "dist-packages");
    }
  }
  return folders;
}

std::vector<fs::path> packaged_world() {
  std::vector<fs::path> files;
  for (const fs::path& folder : package_folders()) {
    for (const char* package : {"rwkvcpp", "rwkv"}) files.push_back(folder / package / kWorldFile);
  }
  return files;
}

[[noreturn]] void fail(const fs::path& checkpoint, int n_vocab, const std::string& passed) {
  std::string get = "its vocabulary: rwkv_vocab_v20230424.txt for World models, 20B_tokenizer.json for Pile models";
  if (is_world(n_vocab)) {
    get =
        "rwkv_vocab_v20230424.txt, which is in the Python packages rwkvcpp and rwkv (pip download --no-deps rwkv) and in the ChatRWKV "
        "repository";
  } else if (is_neox(n_vocab)) {
    get = "20B_tokenizer.json, which is in the ChatRWKV repository";
  }
  std::string text = message("no tokenizer found for ", checkpoint.string(), " (", n_vocab, " outputs): get ", get,
                             ", and put it beside the model or name it (--tokenizer FILE)");
  if (!passed.empty()) text += "\npassed over:" + passed;
  throw TokenizerError(text);
}

}  // namespace

FoundTokenizer find_vocabulary(const fs::path& checkpoint, int n_vocab, const std::optional<fs::path>& explicit_file) {
  if (explicit_file && *explicit_file == "bytes") return checked(bytes(), n_vocab);
  if (explicit_file) return checked(parse(read_vocabulary(*explicit_file), explicit_file->string()), n_vocab);
  if (auto found = inside(checkpoint, n_vocab)) return *std::move(found);
  std::string passed;
  if (auto found = first_fitting(beside(checkpoint), n_vocab, passed)) return *std::move(found);
  if (n_vocab == 256) return bytes();
  if (is_world(n_vocab)) {
    if (auto found = first_fitting(packaged_world(), n_vocab, passed)) return *std::move(found);
  }
  fail(checkpoint, n_vocab, passed);
}

TokenizerPtr find_tokenizer(const fs::path& checkpoint, int n_vocab, const std::optional<fs::path>& explicit_file) {
  return find_vocabulary(checkpoint, n_vocab, explicit_file).tokenizer;
}

}  // namespace rwkv
