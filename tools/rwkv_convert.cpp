// SPDX-License-Identifier: Apache-2.0
// rwkv-convert: a checkpoint to one .safetensors file with its vocabulary, in a smaller type if wanted. Manual: docs/cli.md.
#include "cli/command_line.h"
#include "cli/exit_codes.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "convert/conversion.h"
#include "convert/sha256.h"
#include "message.h"

#include <rwkv/rwkv.h>

#include <cstdio>

namespace rwkv::cli {
namespace {

namespace fs = std::filesystem;

struct ConvertOptions {
  fs::path input, output;
  TargetType type = TargetType::fp16;
  std::optional<fs::path> tokenizer;
  std::optional<float> head_norm_eps;
  bool no_tokenizer = false, force = false;
};

const std::map<std::string, TargetType> kTypes = {{"fp32", TargetType::fp32},
                                                  {"fp16", TargetType::fp16},
                                                  {"bf16", TargetType::bf16},
                                                  {"i8", TargetType::i8},
                                                  {"i4", TargetType::i4}};

std::string name_of_type(TargetType type) {
  for (const auto& [name, value] : kTypes)
    if (value == type) return name;
  return {};
}

std::optional<ConvertOptions> parse(int argc, const char* const* argv) {
  ConvertOptions o;
  std::string type;
  CLI::App app("Writes a .pth or .safetensors model as one .safetensors file with its vocabulary.", "rwkv-convert");
  app.add_option("IN", o.input, "The model")->required();
  app.add_option("OUT", o.output, "The file to write; a model there is replaced when the new one is complete")->required();
  app.add_option("--type,--dtype", type, "Of the matrices: fp32, fp16, bf16, i8 or i4")
      ->required()
      ->check(CLI::IsMember(kTypes))
      ->option_text("TYPE");
  auto* tokenizer =
      app.add_option("--tokenizer", o.tokenizer, "Vocabulary to store; otherwise found as rwkv-generate finds it");
  tokenizer->option_text("FILE");
  app.add_flag("--no-tokenizer", o.no_tokenizer, "Store no vocabulary")->excludes(tokenizer);
  app.add_option("--head-norm-eps", o.head_norm_eps, "Epsilon of the head norm to store, where it is not 64e-5")
      ->option_text("E");
  app.add_flag("--force", o.force, "Replace OUT even if it is no model");
  if (!parse_command_line(app, argc, argv)) return {};
  o.type = kTypes.at(type);
  return o;
}

// What a killed run leaves behind: AtomicFile's temporary files.
void report_leftovers(const fs::path& output) {
  const std::string start = output.filename().string() + ".tmp.";
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(output.has_parent_path() ? output.parent_path() : ".", ignored))
    if (entry.path().filename().string().starts_with(start))
      std::fprintf(stderr, "left by a run that was killed, or is at work: %s\n", entry.path().c_str());
}

void check_output(const ConvertOptions& o, const Checkpoint& input) {
  std::error_code ignored;
  if (!fs::exists(o.output, ignored)) return;
  if (fs::equivalent(o.output, input.path(), ignored)) throw UsageError("OUT is the input: give another file");
  if (o.tokenizer && fs::equivalent(o.output, *o.tokenizer, ignored))
    throw UsageError("OUT is the vocabulary: give another file");
  try {
    if (!o.force) (void)open_checkpoint(o.output);
  } catch (const CheckpointError&) {
    throw UsageError(message(printable(o.output.string()), ": is there and is no model; --force replaces it"));
  }
  std::fprintf(stderr, "%s will be replaced when the new file is complete\n", o.output.c_str());
}

FoundTokenizer vocabulary(const ConvertOptions& o, const Checkpoint& input, int n_vocab) {
  if (o.no_tokenizer) return {};
  try {
    return find_vocabulary(input.path(), n_vocab, o.tokenizer);
  } catch (const TokenizerError& e) {
    throw TokenizerError(std::string(e.what()) + "\n--no-tokenizer converts without one");
  }
}

std::map<std::string, std::string, std::less<>> metadata(const ConvertOptions& o, const Checkpoint& input,
                                                         const ModelConfig& config) {
  std::map<std::string, std::string, std::less<>> m{
      {"format", "rwkvcpp"},
      {"rwkv.version", config.version == 5 ? message(5, ".", config.minor) : message(config.version)},
      {"rwkv.type", name_of_type(o.type)},
      {"rwkv.source_sha256", sha256_of_file(input.path())}};
  if (o.head_norm_eps)
    m["rwkv.head_norm_eps"] = message(*o.head_norm_eps);
  else if (const auto old = input.metadata().find("rwkv.head_norm_eps"); old != input.metadata().end())
    m.insert(*old);
  return m;
}

ExitCode run(const ConvertOptions& o) {
  note_interrupts();
  const auto input = open_checkpoint(o.input);
  const ModelConfig config = inspect(o.input).config;
  check_output(o, *input);
  report_leftovers(o.output);

  FoundTokenizer found = vocabulary(o, *input, config.n_vocab);
  Conversion conversion{*input, plan_conversion(*input, o.type), std::move(found.content), metadata(o, *input, config)};
  if (!conversion.vocabulary.empty()) conversion.metadata["rwkv.tokenizer"] = found.tokenizer->kind();
  Progress progress("converting");
  write_converted(conversion, o.output, [&](std::int64_t done, std::int64_t total) {
    if (interrupted()) throw Interrupted();
    progress.update(done, total);
  });
  progress.clear();

  const double mib = double(fs::file_size(o.output)) / (1 << 20);
  std::printf("%s: RWKV-%s, %s, %.1f MiB, %s\n", o.output.c_str(), conversion.metadata["rwkv.version"].c_str(),
              conversion.metadata["rwkv.type"].c_str(), mib,
              conversion.vocabulary.empty() ? "no vocabulary inside" : ("vocabulary from " + found.source).c_str());
  std::printf("input  sha256 %s\noutput sha256 %s\n", conversion.metadata["rwkv.source_sha256"].c_str(),
              sha256_of_file(o.output).c_str());
  return kDone;
}

}  // namespace
}  // namespace rwkv::cli

int main(int argc, char** argv) {
  using namespace rwkv::cli;
  try {
    const auto options = parse(argc, argv);
    return options ? run(*options) : kDone;
  } catch (...) {
    return report_exception("rwkv-convert");
  }
}
