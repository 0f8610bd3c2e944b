// SPDX-License-Identifier: Apache-2.0
// Limits make every pickle end soon and in bounded memory; opcodes as in Python's pickletools.
#include "checkpoint/pickle.h"

#include <algorithm>
#include <bit>

#include "checkpoint/pickle_machine.h"
#include "message.h"

namespace rwkv::pickle {
namespace {

constexpr std::uint64_t kLargestPickle = 64 << 20, kMostOperations = 10'000'000, kLongestText = 64 << 10;
constexpr std::size_t kDeepestStack = 100'000, kLargestMemo = 1'000'000, kMostValues = 2'000'000, kMostMarks = 64;
constexpr std::uint8_t kDeepest = 64;
constexpr std::size_t kBuffer = 64 << 10;
constexpr Ref kUnset = 0xffffffff;

}  // namespace

std::string_view name_of(Kind kind) {
  constexpr std::string_view kNames[] = {"None",  "bool", "int",  "large int", "float",   "str",
                                         "tuple", "list", "dict", "global",    "storage", "tensor"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view Document::text(Ref r) const { return std::string_view(text_).substr(index(r), nodes_[r].size); }

std::span<const Ref> Document::items(Ref r) const {
  if (nodes_[r].kind == Kind::tuple) return std::span(tuple_items_).subspan(index(r), nodes_[r].size);
  return lists_[index(r)];
}

std::uint8_t Input::byte() {
  if (next_ == buffer_.size()) fill();
  return static_cast<std::uint8_t>(buffer_[next_++]);
}

void Input::read(std::span<char> out) {
  if (out.size() > left()) throw CheckpointError(message("damaged pickle: it ends at byte ", end_, " inside a value"));
  while (!out.empty()) {
    if (next_ == buffer_.size()) fill();
    const std::size_t n = std::min(out.size(), buffer_.size() - next_);
    std::ranges::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(next_), static_cast<std::ptrdiff_t>(n), out.begin());
    next_ += n;
    out = out.subspan(n);
  }
}

void Input::fill() {
  if (at_ == end_) throw CheckpointError(message("damaged pickle: it ends at byte ", end_, " without STOP"));
  buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, end_ - at_)));
  next_ = 0;
  source_.read(at_, std::as_writable_bytes(std::span(buffer_)));
  at_ += buffer_.size();
}

Document read(Input& input) { return Machine(input).run(); }

const Machine::Opcode Machine::kOpcodes[] = {
    {0x80, "PROTO", &Machine::proto},
    {0x95, "FRAME", &Machine::frame},
    {'.', "STOP", &Machine::stop},
    {'(', "MARK", &Machine::mark},
    {'N', "NONE", &Machine::none},
    {0x88, "NEWTRUE", &Machine::new_true},
    {0x89, "NEWFALSE", &Machine::new_false},
    {'J', "BININT", &Machine::binint},
    {'K', "BININT1", &Machine::binint1},
    {'M', "BININT2", &Machine::binint2},
    {0x8a, "LONG1", &Machine::long1},
    {'G', "BINFLOAT", &Machine::binfloat},
    {'X', "BINUNICODE", &Machine::binunicode},
    {0x8c, "SHORT_BINUNICODE", &Machine::short_binunicode},
    {'T', "BINSTRING", &Machine::binstring},
    {'U', "SHORT_BINSTRING", &Machine::short_binstring},
    {')', "EMPTY_TUPLE", &Machine::empty_tuple},
    {']', "EMPTY_LIST", &Machine::empty_list},
    {'}', "EMPTY_DICT", &Machine::empty_dict},
    {'t', "TUPLE", &Machine::tuple},
    {0x85, "TUPLE1", &Machine::tuple1},
    {0x86, "TUPLE2", &Machine::tuple2},
    {0x87, "TUPLE3", &Machine::tuple3},
    {'c', "GLOBAL", &Machine::global},
    {0x93, "STACK_GLOBAL", &Machine::stack_global},
    {'q', "BINPUT", &Machine::binput},
    {'r', "LONG_BINPUT", &Machine::long_binput},
    {0x94, "MEMOIZE", &Machine::memoize},
    {'h', "BINGET", &Machine::binget},
    {'j', "LONG_BINGET", &Machine::long_binget},
    {'Q', "BINPERSID", &Machine::binpersid},
    {'R', "REDUCE", &Machine::reduce},
    {'b', "BUILD", &Machine::build},
    {'s', "SETITEM", &Machine::setitem},
    {'u', "SETITEMS", &Machine::setitems},
    {'a', "APPEND", &Machine::append_one},
    {'e', "APPENDS", &Machine::appends},
    // Known, and refused: torch writes none of them for a model.
    {'0', "POP", nullptr},
    {'1', "POP_MARK", nullptr},
    {'2', "DUP", nullptr},
    {'B', "BINBYTES", nullptr},
    {'C', "SHORT_BINBYTES", nullptr},
    {'F', "FLOAT", nullptr},
    {'I', "INT", nullptr},
    {'L', "LONG", nullptr},
    {'P', "PERSID", nullptr},
    {'S', "STRING", nullptr},
    {'V', "UNICODE", nullptr},
    {'d', "DICT", nullptr},
    {'g', "GET", nullptr},
    {'i', "INST", nullptr},
    {'l', "LIST", nullptr},
    {'o', "OBJ", nullptr},
    {'p', "PUT", nullptr},
    {0x81, "NEWOBJ", nullptr},
    {0x82, "EXT1", nullptr},
    {0x83, "EXT2", nullptr},
    {0x84, "EXT4", nullptr},
    {0x8b, "LONG4", nullptr},
    {0x8d, "BINUNICODE8", nullptr},
    {0x8e, "BINBYTES8", nullptr},
    {0x8f, "EMPTY_SET", nullptr},
    {0x90, "ADDITEMS", nullptr},
    {0x91, "FROZENSET", nullptr},
    {0x92, "NEWOBJ_EX", nullptr},
    {0x96, "BYTEARRAY8", nullptr},
    {0x97, "NEXT_BUFFER", nullptr},
    {0x98, "READONLY_BUFFER", nullptr},
};

std::array<const Machine::Opcode*, 256> Machine::opcode_table() {
  std::array<const Opcode*, 256> table{};
  for (const Opcode& opcode : kOpcodes) table[opcode.code] = &opcode;
  return table;
}

void Machine::fail(std::string_view what) const {
  throw CheckpointError(message("pickle at byte ", opcode_at_, ", opcode ", opcode_, ": ", what));
}

Document Machine::run() {
  static const auto table = opcode_table();
  begin_ = input_.at();
  while (!stopped_) {
    opcode_at_ = input_.at();
    const std::uint8_t code = input_.byte();
    const Opcode* const opcode = table[code];
    opcode_ = opcode ? opcode->name : "(unknown)";
    if (!opcode || !opcode->run)
      fail(message("code ", int(code), " is not one that a model file needs; nothing in a file is ever executed"));
    if (++operations_ > kMostOperations) fail(message("more than ", kMostOperations, " operations"));
    if (input_.at() - begin_ > kLargestPickle) fail(message("longer than ", kLargestPickle, " bytes"));
    (this->*opcode->run)();
  }
  return std::move(document_);
}

Ref Machine::add(Kind kind, std::int64_t payload, std::uint32_t size) {
  if (document_.nodes_.size() >= kMostValues) fail(message("more than ", kMostValues, " values"));
  document_.nodes_.push_back({kind, 1, 0, size, payload});
  return static_cast<Ref>(document_.nodes_.size() - 1);
}

Ref Machine::add_text(Kind kind, std::uint64_t size) {
  if (size > kLongestText) fail(message("a text of ", size, " bytes; the longest accepted has ", kLongestText));
  if (size > input_.left()) fail(message("a text of ", size, " bytes where ", input_.left(), " are left"));
  auto& pool = document_.text_;
  const std::size_t at = pool.size();
  pool.resize(at + static_cast<std::size_t>(size));
  input_.read(std::span(pool).subspan(at));
  return add(kind, static_cast<std::int64_t>(at), static_cast<std::uint32_t>(size));
}

Ref Machine::add_tuple(std::span<const Ref> items) {
  auto& pool = document_.tuple_items_;
  std::uint8_t depth = 0;
  for (const Ref item : items) depth = std::max(depth, document_.nodes_[item].depth);
  if (depth >= kDeepest) fail(message("values nested deeper than ", int(kDeepest)));
  const Ref tuple = add(Kind::tuple, static_cast<std::int64_t>(pool.size()), static_cast<std::uint32_t>(items.size()));
  pool.insert(pool.end(), items.begin(), items.end());
  document_.nodes_[tuple].depth = static_cast<std::uint8_t>(depth + 1);
  return tuple;
}

Ref Machine::add_container(Kind kind) {
  document_.lists_.emplace_back();
  return add(kind, static_cast<std::int64_t>(document_.lists_.size() - 1));
}

void Machine::append(Ref container, std::span<const Ref> items) {
  auto& node = document_.nodes_[container];
  for (const Ref item : items) {
    const std::uint8_t depth = document_.nodes_[item].depth;
    if (depth >= kDeepest) fail(message("values nested deeper than ", int(kDeepest)));
    node.depth = std::max<std::uint8_t>(node.depth, static_cast<std::uint8_t>(depth + 1));
  }
  auto& list = document_.lists_[document_.index(container)];
  list.insert(list.end(), items.begin(), items.end());
}

void Machine::push(Ref r) {
  if (stack_.size() >= kDeepestStack) fail(message("more than ", kDeepestStack, " values on the stack"));
  stack_.push_back(r);
}

Ref Machine::peek() const {
  if (stack_.size() <= floor()) fail("the stack is empty");
  return stack_.back();
}

Ref Machine::pop() {
  const Ref out = peek();
  stack_.pop_back();
  return out;
}

std::vector<Ref> Machine::pop_to_mark() {
  if (marks_.empty()) fail("no MARK before it");
  const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Ref> out(from, stack_.end());
  stack_.erase(from, stack_.end());
  marks_.pop_back();
  return out;
}

// Slots are numbered without gaps by every pickler; a slot far beyond would only cost memory.
void Machine::put(std::uint64_t slot) {
  const Ref value = peek();
  if (slot >= kLargestMemo || slot > operations_) fail(message("memo slot ", slot, " is out of order"));
  if (slot >= memo_.size()) memo_.resize(static_cast<std::size_t>(slot) + 1, kUnset);
  memo_[static_cast<std::size_t>(slot)] = value;
}

void Machine::get(std::uint64_t slot) {
  if (slot >= memo_.size() || memo_[static_cast<std::size_t>(slot)] == kUnset) fail(message("memo slot ", slot, " is empty"));
  push(memo_[static_cast<std::size_t>(slot)]);
}

template <std::integral T>
T Machine::operand() {
  std::array<char, sizeof(T)> bytes;
  input_.read(bytes);
  return std::bit_cast<T>(bytes);
}

std::string Machine::line() {
  std::string out;
  for (char c = operand<char>(); c != '\n'; c = operand<char>()) {
    if (out.size() >= kLongestText) fail(message("a name longer than ", kLongestText, " bytes"));
    out += c;
  }
  return out;
}

void Machine::proto() {
  if (const int version = operand<std::uint8_t>(); version > 5) fail(message("protocol ", version, " is not known"));
}
void Machine::frame() {
  const auto size = operand<std::uint64_t>();
  if (size > input_.left()) fail(message("a frame of ", size, " bytes where ", input_.left(), " are left"));
}
void Machine::stop() {
  document_.top = pop();
  if (!stack_.empty() || !marks_.empty()) fail("values are left on the stack");
  stopped_ = true;
}
void Machine::mark() {
  if (marks_.size() >= kMostMarks) fail(message("values nested deeper than ", kMostMarks));
  marks_.push_back(stack_.size());
}
void Machine::none() {
  if (!none_) none_ = add(Kind::none, 0);
  push(*none_);
}
void Machine::new_true() { push(add(Kind::boolean, 1)); }
void Machine::new_false() { push(add(Kind::boolean, 0)); }
void Machine::binint() { push(add(Kind::integer, operand<std::int32_t>())); }
void Machine::binint1() { push(add(Kind::integer, operand<std::uint8_t>())); }
void Machine::binint2() { push(add(Kind::integer, operand<std::uint16_t>())); }

// Two's complement, little-endian, any number of bytes.
void Machine::long1() {
  const std::size_t size = operand<std::uint8_t>();
  if (size > 8) return push(add_text(Kind::big_integer, size));
  std::array<char, 8> bytes{};
  input_.read(std::span(bytes).first(size));
  if (size > 0 && (bytes[size - 1] & 0x80) != 0)
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(size), bytes.end(), '\xff');
  push(add(Kind::integer, std::bit_cast<std::int64_t>(bytes)));
}

void Machine::binfloat() {
  (void)operand<std::uint64_t>();  // no number with a fraction says anything about a tensor
  push(add(Kind::real, 0));
}
void Machine::binunicode() { push(add_text(Kind::text, operand<std::uint32_t>())); }
void Machine::short_binunicode() { push(add_text(Kind::text, operand<std::uint8_t>())); }
void Machine::binstring() { push(add_text(Kind::text, operand<std::uint32_t>())); }
void Machine::short_binstring() { push(add_text(Kind::text, operand<std::uint8_t>())); }
void Machine::empty_tuple() {
  if (!empty_tuple_) empty_tuple_ = add_tuple({});
  push(*empty_tuple_);
}
void Machine::empty_list() { push(add_container(Kind::list)); }
void Machine::empty_dict() { push(add_container(Kind::dict)); }
void Machine::tuple() { push(add_tuple(pop_to_mark())); }
void Machine::tuple1() { tuple_of(1); }
void Machine::tuple2() { tuple_of(2); }
void Machine::tuple3() { tuple_of(3); }
void Machine::tuple_of(std::size_t n) {
  if (stack_.size() - floor() < n) fail("the stack is empty");
  const Ref out = add_tuple(std::span(stack_).last(n));
  stack_.resize(stack_.size() - n);
  push(out);
}

void Machine::global() {
  const std::string module = line();
  push_global(module, line());
}
void Machine::stack_global() {
  const Ref name = pop(), module = pop();
  if (kind(name) != Kind::text || kind(module) != Kind::text) fail("expected two texts");
  push_global(document_.text(module), document_.text(name));
}
void Machine::binput() { put(operand<std::uint8_t>()); }
void Machine::long_binput() { put(operand<std::uint32_t>()); }
void Machine::memoize() { put(memo_.size()); }
void Machine::binget() { get(operand<std::uint8_t>()); }
void Machine::long_binget() { get(operand<std::uint32_t>()); }

void Machine::setitem() {
  const Ref value = pop(), key = pop();
  if (kind(peek()) != Kind::dict) fail(message("expected a dict, found a ", name_of(kind(peek()))));
  append(peek(), std::array{key, value});
}
void Machine::setitems() {
  const auto items = pop_to_mark();
  if (kind(peek()) != Kind::dict) fail(message("expected a dict, found a ", name_of(kind(peek()))));
  if (items.size() % 2 != 0) fail("a key without value");
  append(peek(), items);
}
void Machine::append_one() {
  const Ref item = pop();
  if (kind(peek()) != Kind::list) fail(message("expected a list, found a ", name_of(kind(peek()))));
  append(peek(), std::array{item});
}
void Machine::appends() {
  const auto items = pop_to_mark();
  if (kind(peek()) != Kind::list) fail(message("expected a list, found a ", name_of(kind(peek()))));
  append(peek(), items);
}

}  // namespace rwkv::pickle
