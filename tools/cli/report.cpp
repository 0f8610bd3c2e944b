// SPDX-License-Identifier: Apache-2.0
#include "cli/report.h"

#include "message.h"

#include <cstdio>

#include <nlohmann/json.hpp>

namespace rwkv::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

double rate(std::int64_t count, double seconds) { return seconds > 0 ? double(count) / seconds : 0; }

const char* reason_name(const Report& report) {
  if (report.interrupted) return "interrupted";
  switch (report.generated.reason) {
    case StopReason::max_tokens:
      return "max_tokens";
    case StopReason::token:
      return "token";
    case StopReason::string:
      return "string";
    case StopReason::callback:
      return "callback";
  }
  return "unknown";
}

// "7", "5.2"
std::string version_text(const ModelConfig& config) {
  return config.version == 5 ? message(5, ".", config.minor) : message(config.version);
}

}  // namespace

std::string speed_line(const Report& report) {
  const Timings& t = report.timings;
  const auto generated = std::int64_t(report.generated.tokens.size());
  char text[240];
  std::snprintf(text, sizeof text,
                "prompt: %lld tokens in %.2f s (%.0f tok/s); text: %lld tokens in %.2f s (%.1f tok/s); end: %s; seed %llu\n",
                static_cast<long long>(t.prompt_tokens), t.prompt_seconds, rate(t.prompt_tokens, t.prompt_seconds),
                static_cast<long long>(generated), t.generate_seconds, rate(generated, t.generate_seconds), reason_name(report),
                static_cast<unsigned long long>(report.options.sampling.seed.value_or(0)));
  return text;
}

std::string json_line(const Report& report) {
  const Timings& t = report.timings;
  const auto& tokens = report.generated.tokens;
  return line({{"text", report.generated.text},
               {"tokens", tokens},
               {"reason", reason_name(report)},
               {"prompt_tokens", t.prompt_tokens},
               {"seed", report.options.sampling.seed.value_or(0)},
               {"model", report.session.path.string()},
               {"timings",
                {{"load_seconds", report.session.load_seconds},
                 {"prompt_seconds", t.prompt_seconds},
                 {"prompt_tokens_per_second", rate(t.prompt_tokens, t.prompt_seconds)},
                 {"generate_seconds", t.generate_seconds},
                 {"tokens_per_second", rate(std::int64_t(tokens.size()), t.generate_seconds)}}}});
}

std::string info_table(const std::filesystem::path& path, const CheckpointInfo& info) {
  const ModelConfig& c = info.config;
  std::string out =
      message("file          ", path.string(), "\nformat        ", info.format, "\nversion       RWKV-", version_text(c),
              "\nlayers        ", c.n_layer, "\nwidth         ", c.n_embd, " (attention ", c.n_att, ", FFN ", c.n_ffn, ")");
  if (c.n_head > 0) out += message("\nheads         ", c.n_head, " of ", c.head_size, "\nhead norm eps ", c.head_norm_eps);
  char size[80];
  std::snprintf(size, sizeof size, "%.2f million, %.1f MiB", double(info.parameters) / 1e6, double(info.bytes) / (1 << 20));
  out += message("\nvocabulary    ", c.n_vocab, info.has_tokenizer ? " (in the file)" : "", "\nparameters    ", size, " as ",
                 info.type, "\n");
  for (const auto& name : info.unused_tensors) out += message("not used      ", printable(name), "\n");
  return out;
}

std::string info_json(const std::filesystem::path& path, const CheckpointInfo& info) {
  const ModelConfig& c = info.config;
  return line({{"file", path.string()},
               {"format", info.format},
               {"version", version_text(c)},
               {"type", info.type},
               {"parameters", info.parameters},
               {"bytes", info.bytes},
               {"n_layer", c.n_layer},
               {"n_embd", c.n_embd},
               {"n_att", c.n_att},
               {"n_ffn", c.n_ffn},
               {"n_vocab", c.n_vocab},
               {"n_head", c.n_head},
               {"head_size", c.head_size},
               {"head_norm_eps", c.head_norm_eps},
               {"has_tokenizer", info.has_tokenizer},
               {"unused_tensors", info.unused_tensors}});
}

}  // namespace rwkv::cli
