// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include "cli/command_line.h"
#include "cli/exit_codes.h"

#include <charconv>
#include <cstdio>

namespace rwkv::cli {
namespace {

// Values that need work after parsing.
struct Extra {
  std::int64_t seed = -1;  // as in llama-cli: -1 is a new one every time
  std::int64_t ctx_size = 0;
  bool escape = true;
};

void add_model_options(CLI::App& app, Options& o, Extra& extra) {
  const std::string group = "Model";
  app.add_option("-m,--model", o.model, "A .pth or .safetensors file; the bundled demo model without it")->group(group);
  app.add_option("--tokenizer", o.tokenizer, "Vocabulary file; otherwise found inside or beside the model")->group(group);
  app.add_option("--strategy", o.strategy, "Device and number format, \"cpu fp16\" (docs/strategy.md)")->group(group);
  app.add_option("-t,--threads", o.threads, "CPU threads; 0: one per core")->group(group)->check(CLI::Range(0, 4096));
  app.add_option("--head-norm-eps", o.head_norm_eps, "Epsilon of the head norm, where the file does not say")->group(group);
  app.add_option("-c,--ctx-size", extra.ctx_size, "Accepted for llama-cli's command lines: there is no context limit")
      ->group(group);
}

void add_prompt_options(CLI::App& app, Options& o, Extra& extra) {
  const std::string group = "Prompt";
  auto* prompt = app.add_option("-p,--prompt", o.prompt, "Text to continue; - reads stdin")->group(group);
  app.add_option("-f,--file", o.file, "File with the text to continue, of any length; - reads stdin")
      ->group(group)
      ->excludes(prompt);
  app.add_flag("-e,--escape,!--no-escape", extra.escape, "\\n, \\t, \\xHH in -p and -r mean what they do in C (default)")
      ->group(group);
  app.add_flag("--display-prompt,!--no-display-prompt", o.display_prompt, "Print the prompt in front of the text")
      ->group(group);
  app.add_option("--state-in", o.state_in, "Start from a saved state instead of an empty one")->group(group);
  app.add_option("--state-out", o.state_out, "Save the state after the text; readable by its owner only")->group(group);
  app.add_option("-b,--batch-size", o.chunk_len, "Tokens of the prompt computed at once")
      ->group(group)
      ->check(CLI::Range(1, 65536));
}

void add_text_options(CLI::App& app, Options& o) {
  const std::string group = "Length and mode";
  app.add_option("-n,--predict,--n-predict", o.max_tokens, "Tokens at most; -1: until the text ends (default 256, --chat -1)")
      ->group(group)
      ->check(CLI::Range(-1, 1 << 30));
  app.add_option("-r,--reverse-prompt", o.stop, "End the text in front of this; may be given more than once")
      ->group(group)
      ->allow_extra_args(false);
  app.add_flag("--ignore-eos", o.ignore_eos, "Never draw token 0, the end of a document")->group(group);
  app.add_flag("--chat", o.chat, "A conversation: one line, one answer")->group(group);
  app.add_flag("--info", o.info, "Print what the model file holds and exit")->group(group);
  app.add_flag("--json", o.json, "Print one JSON object instead of text")->group(group);
  app.add_flag("--raw", o.raw, "Pass control characters on to a terminal")->group(group);
  app.add_flag("-v,--verbose", o.verbose, "Print model, placement and speed on stderr")->group(group);
}

void add_sampling_options(CLI::App& app, SamplingOptions& s, Extra& extra) {
  const std::string group = "Sampling";
  app.add_option("-s,--seed", extra.seed, "The same seed gives the same text; -1: a new one")
      ->group(group)
      ->check(CLI::Range(std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()));
  app.add_option("--temp,--temperature", s.temperature, "Above 1 bolder, below 1 safer, 0 always the likeliest")
      ->group(group)
      ->capture_default_str();
  app.add_option("--top-k", s.top_k, "Only the k likeliest tokens; 0: off")->group(group)->capture_default_str();
  app.add_option("--top-p", s.top_p, "Only the likeliest tokens that make up this share; 1: off")
      ->group(group)
      ->capture_default_str();
  app.add_option("--min-p", s.min_p, "Only tokens this likely relative to the best; 0: off")
      ->group(group)
      ->capture_default_str();
  app.add_option("--presence-penalty", s.alpha_presence, "Against every token used before")
      ->group(group)
      ->capture_default_str();
  app.add_option("--frequency-penalty", s.alpha_frequency, "Against them once more per use")
      ->group(group)
      ->capture_default_str();
  app.add_option("--penalty-decay", s.alpha_decay, "How uses fade, per token")->group(group)->capture_default_str();
}

void finish(Options& o, const Extra& extra) {
  if (extra.seed >= 0) o.sampling.seed = std::uint64_t(extra.seed);
  if (o.ignore_eos) o.sampling.token_ban.push_back(0);
  if (o.prompt == "-") {
    o.prompt.reset();
    o.file = "-";
  }
  if (extra.escape) {
    if (o.prompt) o.prompt = unescaped(*o.prompt);
    for (auto& stop : o.stop) stop = unescaped(stop);
  }
  for (const auto& stop : o.stop)
    if (stop.empty()) throw UsageError("-r: the text must not be empty");
  if (o.chat && o.info) throw UsageError("--chat and --info exclude each other");
  if (o.chat && o.file == "-") throw UsageError("--chat reads what you say from stdin: give -p or -f FILE as its opening");
  validate(o.sampling);
}

int hex_digits(std::string_view text, int& value) {
  const auto end = std::from_chars(text.data(), text.data() + std::min<std::size_t>(2, text.size()), value, 16).ptr;
  return int(end - text.data());
}

}  // namespace

std::string unescaped(std::string_view text) {
  constexpr std::string_view kLetters = "ntr0\\'\"", kMeaning{"\n\t\r\0\\'\"", 7};
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    int value = 0;
    if (const auto at = kLetters.find(next); next != '\0' && at != kLetters.npos) {
      out += kMeaning[at];
      ++i;
    } else if (const int digits = next == 'x' ? hex_digits(text.substr(i + 2), value) : 0; digits > 0) {
      out += static_cast<char>(value);
      i += 1 + std::size_t(digits);
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<Options> parse_options(int argc, const char* const* argv) {
  Options options;
  Extra extra;
  CLI::App app("Continues a text with an RWKV model. Text goes to stdout, everything else to stderr.", "rwkv-generate");
  add_model_options(app, options, extra);
  add_prompt_options(app, options, extra);
  add_text_options(app, options);
  add_sampling_options(app, options.sampling, extra);
  if (!parse_command_line(app, argc, argv)) return {};
  finish(options, extra);
  if (app.count("--ctx-size") > 0) std::fputs("-c is not needed: RWKV has no context limit\n", stderr);
  return options;
}

}  // namespace rwkv::cli
