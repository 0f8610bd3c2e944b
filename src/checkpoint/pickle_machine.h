// SPDX-License-Identifier: Apache-2.0
// The stack machine that a pickle is a program for, with a value tree instead of Python objects.
#pragma once
#include <array>
#include <concepts>
#include <optional>

#include "checkpoint/pickle.h"
#include "checkpoint/pickle_globals.h"

namespace rwkv::pickle {

class Machine {
 public:
  explicit Machine(Input& input) : input_(input) {}
  [[nodiscard]] Document run();

 private:
  using Handler = void (Machine::*)();
  struct Opcode {
    std::uint8_t code;
    const char* name;
    Handler run;  // null: refused
  };
  static const Opcode kOpcodes[];
  static std::array<const Opcode*, 256> opcode_table();

  [[noreturn]] void fail(std::string_view what) const;

  // Values
  Ref add(Kind kind, std::int64_t payload, std::uint32_t size = 0);
  Ref add_text(Kind kind, std::uint64_t size);
  Ref add_tuple(std::span<const Ref> items);
  Ref add_container(Kind kind);
  void append(Ref container, std::span<const Ref> items);
  [[nodiscard]] Kind kind(Ref r) const { return document_.kind(r); }

  // Stack and memo
  void push(Ref r);
  Ref pop();
  [[nodiscard]] Ref peek() const;
  std::vector<Ref> pop_to_mark();
  [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }  // values below belong to a MARK
  void put(std::uint64_t slot);
  void get(std::uint64_t slot);

  // Operands
  template <std::integral T>
  T operand();
  std::string line();

  // Opcodes
  void proto();
  void frame();
  void stop();
  void mark();
  void none();
  void new_true();
  void new_false();
  void binint();
  void binint1();
  void binint2();
  void long1();
  void binfloat();
  void binunicode();
  void short_binunicode();
  void binstring();
  void short_binstring();
  void empty_tuple();
  void empty_list();
  void empty_dict();
  void tuple();
  void tuple1();
  void tuple2();
  void tuple3();
  void global();
  void stack_global();
  void binput();
  void long_binput();
  void memoize();
  void binget();
  void long_binget();
  void binpersid();
  void reduce();
  void build();
  void setitem();
  void setitems();
  void append_one();
  void appends();

  // Meaning of the globals
  void tuple_of(std::size_t n);
  void push_global(std::string_view module, std::string_view name);
  [[nodiscard]] Global global_of(Ref r) const;
  [[nodiscard]] std::uint64_t size_of(Ref r, std::string_view what) const;
  [[nodiscard]] std::vector<std::int64_t> sizes_of(Ref r, std::string_view what) const;
  Ref rebuild_tensor(std::span<const Ref> args);

  Input& input_;
  Document document_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::vector<Ref> memo_;
  std::uint64_t begin_ = 0, opcode_at_ = 0, operations_ = 0;
  const char* opcode_ = "";
  std::optional<Ref> none_, empty_tuple_;
  bool stopped_ = false;
};

}  // namespace rwkv::pickle
