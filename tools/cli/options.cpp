// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include "cli/command_line.h"
#include "cli/exit_codes.h"

#include <charconv>
#include <cstdio>
#include <limits>

namespace rwkv::cli {
namespace {

// Values that need work after parsing.
struct Extra {
  std::int64_t seed = -1;  // as in llama-cli: -1 is a new one every time
  std::int64_t ctx_size = 0;
  bool escape = true;
};

// Options that stand together in --help.
class Group {
 public:
  Group(CLI::App& app, const char* title) : app_(app), title_(title) {}

  // `unit`: the word for the value, "FILE".
  template <class Value>
  CLI::Option* value(const char* names, const char* unit, Value& target, const char* text) {
    return app_.add_option(names, target, text)->group(title_)->option_text(unit);
  }

  CLI::Option* flag(const char* names, bool& target, const char* text) {
    return app_.add_flag(names, target, text)->group(title_);
  }

 private:
  CLI::App& app_;
  const char* title_;
};

void add_model_options(CLI::App& app, Options& o, Extra& extra) {
  Group model(app, "Model");
  model.value("-m,--model", "FILE", o.model, "A .pth or .safetensors file; the bundled demo model without it");
  model.value("--tokenizer", "FILE", o.tokenizer, "Vocabulary; otherwise found inside or beside the model");
  model.value("--strategy", "TEXT", o.strategy, "Device and number format, \"cpu fp16\" (docs/strategy.md)");
  model.flag("--list-devices", o.list_devices, "Print the devices a strategy can name, or why there are none, and exit");
  model.value("-t,--threads", "N", o.threads, "CPU threads; 0: one per core")->check(CLI::Range(0, 4096));
  model.value("--head-norm-eps", "E", o.head_norm_eps, "Epsilon of the head norm, where the file does not say");
  model.flag("--fp16-state", o.fp16_state, "Keep states on CUDA devices in float16: half the memory of a sequence");
  model.value("-c,--ctx-size", "N", extra.ctx_size, "Accepted, not needed: there is no context limit");
}

void add_prompt_options(CLI::App& app, Options& o, Extra& extra) {
  Group prompt(app, "Prompt and state");
  auto* text = prompt.value("-p,--prompt", "TEXT", o.prompt, "Text to continue; - reads stdin");
  prompt.value("-f,--file", "FILE", o.file, "File with the text to continue, of any length; - reads stdin")->excludes(text);
  prompt.flag("-e,--escape,!--no-escape", extra.escape, "\\n, \\t, \\xHH in -p and -r mean what they do in C (default)");
  prompt.flag("--display-prompt,!--no-display-prompt", o.display_prompt, "Print the prompt in front of the text");
  prompt.value("--state-in", "FILE", o.state_in, "Start from a saved state instead of an empty one");
  prompt.value("--state-out", "FILE", o.state_out, "Save the state after the text; readable by its owner only");
  prompt.value("-b,--batch-size", "N", o.chunk_len, "Tokens of the prompt computed at once")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
}

void add_text_options(CLI::App& app, Options& o) {
  Group text(app, "Text");
  text.value("-n,--predict,--n-predict", "N", o.max_tokens, "Tokens at most; -1: until the text ends [256, with --chat -1]")
      ->check(CLI::Range(-1, 1 << 30));
  text.value("-r,--reverse-prompt", "TEXT", o.stop, "End in front of this; may be given more than once")
      ->allow_extra_args(false);
  text.flag("--ignore-eos", o.ignore_eos, "Never draw token 0, the end of a document");
  text.flag("--chat", o.chat, "A conversation: one line, one answer");
  text.flag("--info", o.info, "Print what the model file holds and exit");
  text.flag("--json", o.json, "Print one JSON object instead of text");
  text.flag("--raw", o.raw, "Pass control characters on to a terminal");
  text.flag("-v,--verbose", o.verbose, "Print model, placement and speed on stderr");
}

void add_sampling_options(CLI::App& app, SamplingOptions& s, Extra& extra) {
  Group sampling(app, "Sampling");
  const auto number = [&](const char* names, const char* unit, auto& target, const char* text) {
    sampling.value(names, unit, target, text)->capture_default_str();
  };
  sampling.value("-s,--seed", "N", extra.seed, "The same seed gives the same text; -1: a new one")
      ->check(CLI::Range(std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  number("--temp,--temperature", "T", s.temperature, "Above 1 bolder, below 1 safer, 0 always the likeliest");
  number("--top-k", "K", s.top_k, "Only the K likeliest tokens; 0: off");
  number("--top-p", "P", s.top_p, "Only the likeliest tokens that make up this share; 1: off");
  number("--min-p", "P", s.min_p, "Only tokens this likely relative to the best; 0: off");
  number("--presence-penalty", "X", s.alpha_presence, "Against every token used before");
  number("--frequency-penalty", "X", s.alpha_frequency, "Against them once more per use");
  number("--penalty-decay", "X", s.alpha_decay, "How uses fade, per token");
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
