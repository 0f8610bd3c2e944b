// SPDX-License-Identifier: Apache-2.0
// What the few accepted globals mean: OrderedDict() is a dict, _rebuild_* describe tensors, persistent ids are storages.
#include "checkpoint/pickle_machine.h"
#include "checkpoint/inventory.h"
#include "message.h"

namespace rwkv::pickle {

void Machine::push_global(std::string_view module, std::string_view name) {
  const auto global = find_global(module, name);
  if (!global)
    fail(message("the file names the Python object ", printable(module), ".", printable(name),
                 "; only tensors and plain values are read, nothing in a file is ever executed"));
  push(add(Kind::global, static_cast<std::int64_t>(global->type)));
  document_.nodes_.back().extra = static_cast<std::uint16_t>(global->kind);
}

Global Machine::global_of(Ref r) const {
  if (kind(r) != Kind::global) fail(message("expected a global, found a ", name_of(kind(r))));
  const auto& node = document_.nodes_[r];
  return {static_cast<GlobalKind>(node.extra), static_cast<FileType>(node.payload)};
}

std::uint64_t Machine::size_of(Ref r, std::string_view what) const {
  if (kind(r) != Kind::integer || document_.integer(r) < 0) fail(message("expected a number >= 0 as ", what));
  return static_cast<std::uint64_t>(document_.integer(r));
}

std::vector<std::int64_t> Machine::sizes_of(Ref r, std::string_view what) const {
  if (kind(r) != Kind::tuple) fail(message("expected a tuple as ", what));
  const auto items = document_.items(r);
  if (items.size() > kMostDimensions) fail(message("a tensor of ", items.size(), " dimensions; at most ", kMostDimensions));
  std::vector<std::int64_t> out;
  for (const Ref item : items) {
    if (kind(item) != Kind::integer) fail(message("expected numbers as ", what));
    out.push_back(document_.integer(item));
  }
  return out;
}

// ('storage', <T>Storage, key, location, numel[, view]); view is None or (view key, offset, numel).
void Machine::binpersid() {
  const Ref id = pop();
  const auto items = kind(id) == Kind::tuple ? document_.items(id) : std::span<const Ref>();
  if ((items.size() != 5 && items.size() != 6) || kind(items[0]) != Kind::text || document_.text(items[0]) != "storage" ||
      kind(items[2]) != Kind::text)
    fail("expected ('storage', type, key, location, size)");
  const Global type = global_of(items[1]);
  if (type.kind != GlobalKind::storage) fail("expected a storage type");
  const std::uint64_t numel = size_of(items[4], "size of a storage");
  Storage storage = {type.type, items[2], numel, 0, numel};
  if (items.size() == 6 && kind(items[5]) != Kind::none) {
    const auto view = kind(items[5]) == Kind::tuple ? document_.items(items[5]) : std::span<const Ref>();
    if (view.size() != 3) fail("expected (key, offset, size) as view of a storage");
    storage.view_offset = size_of(view[1], "offset of a view");
    storage.view_numel = size_of(view[2], "size of a view");
    if (storage.view_offset > numel || storage.view_numel > numel - storage.view_offset)
      fail("a view is larger than its storage");
  }
  document_.storages_.push_back(storage);
  push(add(Kind::storage, static_cast<std::int64_t>(document_.storages_.size() - 1)));
}

void Machine::reduce() {
  const Ref arguments = pop();
  if (kind(arguments) != Kind::tuple) fail("expected a tuple of arguments");
  const auto args = document_.items(arguments);
  switch (global_of(pop()).kind) {
    case GlobalKind::ordered_dict:
      if (!args.empty()) fail("expected OrderedDict() without arguments");
      return push(add_container(Kind::dict));
    case GlobalKind::tensor_v2:
    case GlobalKind::tensor_v1:
      return push(rebuild_tensor(args));
    case GlobalKind::parameter:
      if (args.empty() || kind(args[0]) != Kind::tensor) fail("expected a tensor as first argument of a parameter");
      return push(args[0]);
    case GlobalKind::storage:
    case GlobalKind::dtype:
      break;
  }
  fail("this global cannot be called");
}

// (storage, offset, shape, stride, ...)
Ref Machine::rebuild_tensor(std::span<const Ref> args) {
  if (args.size() < 4 || kind(args[0]) != Kind::storage) fail("expected (storage, offset, shape, stride) for a tensor");
  Tensor tensor = {args[0], size_of(args[1], "offset of a tensor"), sizes_of(args[2], "shape"), sizes_of(args[3], "stride")};
  if (tensor.shape.size() != tensor.stride.size()) fail("shape and stride of a tensor differ in length");
  for (const std::int64_t n : tensor.shape)
    if (n < 0 || n > kLongestDimension) fail(message("a dimension of ", n, " elements"));
  document_.tensors_.push_back(std::move(tensor));
  return add(Kind::tensor, static_cast<std::int64_t>(document_.tensors_.size() - 1));
}

// Attaches attributes (`_metadata`) to the map before it; they say nothing about tensors and are dropped.
void Machine::build() {
  const Ref state = pop();
  if (kind(state) != Kind::dict || kind(peek()) != Kind::dict) fail("expected attributes of an OrderedDict");
  for (std::size_t i = 0; i < document_.items(state).size(); i += 2)
    if (kind(document_.items(state)[i]) != Kind::text) fail("expected names of attributes");
}

}  // namespace rwkv::pickle
