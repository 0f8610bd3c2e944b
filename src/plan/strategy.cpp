// SPDX-License-Identifier: Apache-2.0
// The grammar: segments between "->"; in each, device, type and perhaps a count with exactly one space between them.
#include "plan/strategy.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "message.h"

namespace rwkv {
namespace {

constexpr std::size_t kLongest = 4096;
constexpr std::string_view kUseTypes = "use fp32, fp16, bf16 (add i8 or i4 for quantised weights)";
constexpr std::string_view kUseDevices = "use cpu, cuda, cuda:N or auto";
constexpr std::string_view kUseCount = "use *N for N layers, *N+ to stream the rest";

struct DeviceName {
  std::string_view name;
  DeviceKind kind;
};
constexpr std::array kDevices = {DeviceName{"auto", DeviceKind::automatic}, DeviceName{"cpu", DeviceKind::cpu},
                                 DeviceName{"cuda", DeviceKind::cuda}, DeviceName{"mps", DeviceKind::mps},
                                 DeviceName{"dml", DeviceKind::dml}};
constexpr std::array kFloatTypes = {DType::f32, DType::f16, DType::bf16};
constexpr std::array kQuantizations = {Quantization::none, Quantization::i8, Quantization::i4, Quantization::i3};

bool all_digits(std::string_view word) { return word.find_first_not_of("0123456789") == std::string_view::npos; }

std::string lower_case(std::string_view word) {
  std::string out(word);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<Segment> segments() {
    if (text_.size() > kLongest)
      throw StrategyError(message("strategy \"", printable(text_), "\": ", text_.size(), " characters; at most ", kLongest));
    if (text_.find_first_not_of(' ') == std::string_view::npos)
      throw StrategyError(message("strategy \"", text_.substr(0, 20), "\": empty; write for example \"cpu fp32\" or \"auto\""));
    std::vector<Segment> out;
    for (std::size_t begin = 0; begin <= text_.size();) {
      const std::size_t arrow = std::min(text_.find("->", begin), text_.size());
      out.push_back(segment(begin, arrow));
      begin = arrow + 2;
      if (arrow == text_.size()) break;
    }
    for (const Segment& s : out) check_auto(s, out.size());
    return out;
  }

 private:
  struct Word {
    std::string_view text;
    std::size_t at;  // in text_, from 0
  };

  [[noreturn]] void fail(std::size_t at, const std::string& what, std::string_view advice) const {
    throw StrategyError(message("strategy \"", printable(text_), "\": ", what, " at column ", at + 1, "; ", advice));
  }

  static std::string quoted(std::string_view word) { return "\"" + printable(word) + "\""; }

  Segment segment(std::size_t begin, std::size_t end) {
    while (begin < end && text_[begin] == ' ') ++begin;
    while (end > begin && text_[end - 1] == ' ') --end;
    at_ = begin;
    end_ = end;
    if (begin == end) fail(begin, "missing device", "each part around \"->\" needs a device and a type");
    Segment out;
    out.column = static_cast<int>(begin) + 1;
    read_device(next_word(), out);
    if (at_ == end_) {
      if (out.device.kind == DeviceKind::automatic) return out;
      fail(end_, "missing type after " + quoted(text_.substr(begin, end - begin)), kUseTypes);
    }
    read_type(next_word(), out);
    if (at_ < end_) read_count(next_word(), out);
    if (at_ < end_) {
      const Word rest = next_word();
      fail(rest.at, "unexpected " + quoted(rest.text), "one count per part; write \"->\" in front of the next device");
    }
    return out;
  }

  // The next word of this segment; a second space in front of it is an error.
  Word next_word() {
    if (text_[at_] == ' ') {
      fail(at_, "two spaces", "write one space between the words");
    }
    const std::size_t begin = at_;
    const std::size_t stop = std::min(text_.find(' ', begin), end_);
    at_ = std::min(stop + 1, end_);
    return {text_.substr(begin, stop - begin), begin};
  }

  void read_device(Word word, Segment& out) {
    const std::size_t colon = word.text.find(':');
    const std::string_view name = word.text.substr(0, colon);
    for (const DeviceName& device : kDevices) {
      if (name != device.name) continue;
      out.device.kind = device.kind;
      if (colon == std::string_view::npos) return;
      if (device.kind != DeviceKind::cuda)
        fail(word.at, "number in " + quoted(word.text), "only cuda takes one; write " + std::string(name));
      out.device.index = number({word.text.substr(colon + 1), word.at + colon + 1}, "device number", "use cuda:0, cuda:1, ...");
      return;
    }
    const std::string lower = lower_case(name);
    for (const DeviceName& device : kDevices)
      if (lower == device.name) fail(word.at, "unknown device " + quoted(word.text), "write " + lower + " in small letters");
    fail(word.at, "unknown device " + quoted(word.text), kUseDevices);
  }

  void read_type(Word word, Segment& out) {
    for (const DType type : kFloatTypes) {
      if (!word.text.starts_with(name_of(type))) continue;
      const std::string_view suffix = word.text.substr(name_of(type).size());
      for (const Quantization q : kQuantizations) {
        if (suffix != name_of(q)) continue;
        out.type = type;
        out.quantization = q;
        return;
      }
      if (suffix.starts_with('*'))
        fail(word.at + name_of(type).size(), "missing space before " + quoted(suffix), "write one space in front of *");
      if (suffix.starts_with('i'))
        fail(word.at, "unknown quantisation in " + quoted(word.text), "use i8 or i4 after the type, or nothing");
    }
    if (word.text.find(',') != std::string_view::npos)
      fail(word.at + word.text.find(','), "unexpected \",\"", "separate the parts by \"->\"");
    fail(word.at, "unknown type " + quoted(word.text), kUseTypes);
  }

  void read_count(Word word, Segment& out) {
    if (!word.text.starts_with('*'))
      fail(word.at, "unexpected " + quoted(word.text), "a part ends with its type, *N or *N+; write \"->\" between parts");
    std::string_view digits = word.text.substr(1);
    if (digits.ends_with('+')) {
      out.streaming = true;
      digits.remove_suffix(1);
    }
    out.count = number({digits, word.at + 1}, "number of layers", kUseCount);
  }

  int number(Word word, const std::string& what, std::string_view advice) const {
    if (word.text.empty()) fail(word.at, "missing " + what, advice);
    if (!all_digits(word.text)) fail(word.at, "bad " + what + " " + quoted(word.text), advice);
    int value = 0;
    const auto [end, error] = std::from_chars(word.text.data(), word.text.data() + word.text.size(), value);
    if (error != std::errc()) fail(word.at, what + " " + quoted(word.text) + " is too large", advice);
    return value;
  }

  void check_auto(const Segment& segment, std::size_t n_segments) const {
    if (segment.device.kind != DeviceKind::automatic || (n_segments == 1 && !segment.count)) return;
    fail(static_cast<std::size_t>(segment.column) - 1, "\"auto\" with other parts or a count",
         "use it alone (auto, auto fp16), or name the devices");
  }

  std::string_view text_;
  std::size_t at_ = 0, end_ = 0;  // the unread part of the current segment
};

}  // namespace

Strategy parse_strategy(std::string_view text) { return {std::string(text), Parser(text).segments()}; }

std::string resolve_auto(const Strategy& strategy, bool has_cuda, const StoredTypes& file) {
  if (!strategy.automatic()) return strategy.text;
  const Segment& asked = strategy.segments.front();
  DType type = has_cuda ? DType::f16 : DType::f32;
  if (asked.type) {
    type = *asked.type;
  } else if (file.type == "bf16") {
    type = DType::bf16;
  } else if (file.type == "f16" || file.type == "fp16") {
    type = DType::f16;
  }
  return message(has_cuda ? "cuda " : "cpu ", name_of(type), name_of(asked.type ? asked.quantization : file.quantization));
}

std::string name_of(DeviceId device) {
  for (const DeviceName& known : kDevices)
    if (known.kind == device.kind) return device.index == 0 ? std::string(known.name) : message(known.name, ":", device.index);
  return {};
}

std::string_view name_of(Quantization quantization) {
  switch (quantization) {
    case Quantization::none:
      return "";
    case Quantization::i8:
      return "i8";
    case Quantization::i4:
      return "i4";
    case Quantization::i3:
      return "i3";
  }
  return {};
}

}  // namespace rwkv
