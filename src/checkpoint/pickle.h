// SPDX-License-Identifier: Apache-2.0
// A pickle as torch writes it, read as data: a tree of plain values, storages and tensors. Nothing in it is ever executed;
// an opcode or a global that is not on the short lists ends the reading with its name.
#pragma once
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/byte_source.h"
#include "checkpoint/checkpoint.h"

namespace rwkv::pickle {

using Ref = std::uint32_t;  // a value's number in its Document

enum class Kind : std::uint8_t { none, boolean, integer, big_integer, real, text, tuple, list, dict, global, storage, tensor };

[[nodiscard]] std::string_view name_of(Kind kind);

struct Storage {
  FileType type;
  Ref key;                                        // text
  std::uint64_t numel;                            // elements of the whole storage
  std::uint64_t view_offset = 0, view_numel = 0;  // the window that is used (legacy form; else everything)
};

// offset and stride count elements. Nothing is compared with the storage yet.
struct Tensor {
  Ref storage;
  std::uint64_t offset;
  std::vector<std::int64_t> shape, stride;
};

// All values of one pickle. Lists and dicts may hold each other in circles: walk no deeper than needed.
class Document {
 public:
  Ref top = 0;

  [[nodiscard]] Kind kind(Ref r) const { return nodes_[r].kind; }
  [[nodiscard]] std::int64_t integer(Ref r) const { return nodes_[r].payload; }  // boolean, integer
  [[nodiscard]] std::string_view text(Ref r) const;                              // text; big_integer: its bytes
  [[nodiscard]] std::span<const Ref> items(Ref r) const;                         // tuple, list; dict: key, value, key, value...
  [[nodiscard]] const Storage& storage(Ref r) const { return storages_[index(r)]; }
  [[nodiscard]] const Tensor& tensor(Ref r) const { return tensors_[index(r)]; }
  [[nodiscard]] const std::deque<Storage>& storages() const { return storages_; }

 private:
  friend class Machine;

  // 16 bytes; `payload` is the number itself or an index into one of the pools below.
  struct Node {
    Kind kind;
    std::uint8_t depth;   // 1 + that of the deepest item
    std::uint16_t extra;  // global: which one
    std::uint32_t size;   // text, tuple
    std::int64_t payload;
  };

  [[nodiscard]] std::size_t index(Ref r) const { return static_cast<std::size_t>(nodes_[r].payload); }

  std::deque<Node> nodes_;
  std::string text_;
  std::vector<Ref> tuple_items_;
  std::deque<std::vector<Ref>> lists_;  // lists and dicts
  std::deque<Storage> storages_;
  std::deque<Tensor> tensors_;
};

// Bytes of a source from front to back, through a small buffer.
class Input {
 public:
  Input(const ByteSource& source, std::uint64_t begin, std::uint64_t end) : source_(source), at_(begin), end_(end) {}

  [[nodiscard]] std::uint8_t byte();
  void read(std::span<char> out);
  [[nodiscard]] std::uint64_t at() const { return at_ - (buffer_.size() - next_); }  // byte of the file
  [[nodiscard]] std::uint64_t left() const { return end_ - at(); }

 private:
  void fill();

  const ByteSource& source_;
  std::uint64_t at_, end_;  // at_: the byte after the buffer
  std::vector<char> buffer_;
  std::size_t next_ = 0;
};

// Reads one pickle, up to and with its STOP. Throws CheckpointError naming opcode and byte.
[[nodiscard]] Document read(Input& input);

}  // namespace rwkv::pickle
