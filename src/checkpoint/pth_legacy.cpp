// SPDX-License-Identifier: Apache-2.0
// Five pickles (magic number, protocol version, system, the object, the storages' keys), then per key an int64 count of
// elements and the elements. The file says nothing about where a storage starts: sizes are added up, nothing is read.
#include <array>
#include <map>

#include "checkpoint/checked.h"
#include "checkpoint/pickle.h"
#include "checkpoint/pth.h"
#include "checkpoint/state_dict.h"
#include "message.h"

namespace rwkv {
namespace {

using pickle::Document;
using pickle::Kind;

constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // 0x1950a86a20f9469cfc6c
constexpr std::int64_t kProtocol = 1001;

void check_header(pickle::Input& input) {
  const Document magic = pickle::read(input);
  if (magic.kind(magic.top) != Kind::big_integer || magic.text(magic.top) != kMagic)
    throw CheckpointError("this is a Python pickle, but not one of torch.save; save the model's state_dict() with torch.save");
  const Document protocol = pickle::read(input);
  if (protocol.kind(protocol.top) != Kind::integer || protocol.integer(protocol.top) != kProtocol)
    throw CheckpointError(message("torch protocol version is not ", kProtocol));
  const Document system = pickle::read(input);
  if (system.kind(system.top) != Kind::dict) throw CheckpointError("damaged: the third pickle of the file is not a dict");
  const auto items = system.items(system.top);
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const bool order = system.kind(items[i]) == Kind::text && system.text(items[i]) == "little_endian";
    if (order && (system.kind(items[i + 1]) != Kind::boolean || system.integer(items[i + 1]) != 1))
      throw CheckpointError("byte order is not little; only little-endian files are read");
  }
}

// Where each storage lies; `document` has their types.
std::map<std::string, Record, std::less<>> find_records(const ByteSource& source, pickle::Input& input,
                                                        const Document& document) {
  std::map<std::string_view, FileType> types;
  for (const auto& storage : document.storages()) {
    const auto known = types.emplace(document.text(storage.key), storage.type).first;
    if (known->second != storage.type)
      throw CheckpointError(message("storage ", printable(known->first), ": two types, ", name_of(storage.type), " and ",
                                    name_of(known->second)));
  }
  const Document keys = pickle::read(input);
  if (keys.kind(keys.top) != Kind::list) throw CheckpointError("damaged: the list of storages is not a list");
  std::map<std::string, Record, std::less<>> records;
  Checked at = input.at();
  for (const pickle::Ref key : keys.items(keys.top)) {
    const std::string_view name = keys.kind(key) == Kind::text ? keys.text(key) : "";
    const auto type = types.find(name);
    if (type == types.end()) throw CheckpointError(message("storage ", printable(name), ": no tensor uses it"));
    std::array<std::int64_t, 1> count;
    source.read(at.value(), std::as_writable_bytes(std::span(count)));
    if (count[0] < 0) throw CheckpointError(message("storage ", printable(name), ": a size of ", count[0], " elements"));
    const Checked bytes = Checked(static_cast<std::uint64_t>(count[0])) * static_cast<std::uint64_t>(bytes_of(type->second));
    if (!records.emplace(name, Record{(at + 8).value(), bytes.value()}).second)
      throw CheckpointError(message("storage ", printable(name), " is there twice"));
    at = at + 8 + bytes;
    if (at > source.size())
      throw CheckpointError(message("truncated: storage ", printable(name), " ends at byte ", at.value(), ", the file has ",
                                    source.size(), " bytes"));
  }
  if (at != source.size())
    throw CheckpointError(message("damaged: ", (Checked(source.size()) - at).value(), " bytes follow the last storage"));
  return records;
}

}  // namespace

Inventory read_pth_legacy(const ByteSource& source) {
  pickle::Input input(source, 0, source.size());
  check_header(input);
  const Document document = pickle::read(input);
  const auto tensors = named_tensors(document);
  const auto records = find_records(source, input, document);
  Inventory out;
  out.format = "pth (legacy)";
  for (const auto& [name, tensor] : tensors) {
    const pickle::Storage& storage = document.storage(tensor->storage);
    const auto record = records.find(document.text(storage.key));
    if (record == records.end()) throw CheckpointError(message("tensor ", printable(name), ": its storage is not in the file"));
    out.tensors.push_back(place(name, *tensor, storage, record->second));
  }
  check_total(out.tensors, source.size());
  return out;
}

}  // namespace rwkv
