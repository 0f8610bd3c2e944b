// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include "cli/exit_codes.h"
#include "cli/suggest.h"
#include "message.h"

#include <memory>

namespace rwkv::cli {
namespace {

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_snames()) names.push_back("-" + name);
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string unexpected(const CLI::App& app, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  if (!name.starts_with('-')) return message("unexpected argument \"", printable(name), "\"");
  const std::string meant = nearest(name, option_names(app));
  return message("unknown option ", printable(name), meant.empty() ? "" : "; did you mean " + meant + "?");
}

// "-m, --model FILE  Description [default]": no ranges, no lists of excluded options.
class Formatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    if (is_positional) return option->get_name(true);
    std::string text;
    for (const auto& name : option->get_snames()) text += (text.empty() ? "-" : ", -") + name;
    for (const auto& name : option->get_lnames()) text += (text.empty() ? "--" : ", --") + name;
    return text;
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return {};  // a flag
    return " " + option->get_option_text();
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string& value = option->get_default_str();
    return option->get_description() + (value.empty() ? "" : " [" + value + "]");
  }
};

}  // namespace

bool parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  app.set_help_flag("-h,--help", "Print this list and exit");
  app.set_version_flag("--version", std::string(RWKV_VERSION), "Print the version and exit");
  auto formatter = std::make_shared<Formatter>();
  formatter->column_width(42);
  app.formatter(formatter);
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& wanted) {  // --help, --version
    app.exit(wanted);
    return false;
  } catch (const CLI::ExtrasError& e) {
    const auto words = app.remaining();
    throw UsageError(words.empty() ? e.what() : unexpected(app, words.front()));
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
}

}  // namespace rwkv::cli
