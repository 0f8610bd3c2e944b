// SPDX-License-Identifier: Apache-2.0
// NAME/data.pkl describes the tensors, NAME/data/<key> are the storages, NAME/byteorder says "little". Any NAME will do.
#include "checkpoint/pth.h"

#include <array>

#include "checkpoint/checked.h"
#include "checkpoint/pickle.h"
#include "checkpoint/state_dict.h"
#include "checkpoint/zip.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr std::string_view kPickle = "/data.pkl";

const ZipEntry& find_pickle(const ZipDirectory& zip) {
  const ZipEntry* found = nullptr;
  for (const ZipEntry& entry : zip.entries()) {
    const std::string_view name = entry.name;
    if (!name.ends_with(kPickle) || name.find('/') != name.size() - kPickle.size()) continue;
    if (found) throw CheckpointError("a zip archive with two data.pkl: not written by torch.save");
    found = &entry;
  }
  if (!found)
    throw CheckpointError(message("this zip archive is not a torch checkpoint: it has no data.pkl (its first entry is ",
                                  printable(zip.entries()[0].name), "); if the model is inside, unpack it"));
  return *found;
}

void check_byte_order(const ByteSource& source, const ZipDirectory& zip, const std::string& folder) {
  const ZipEntry* const entry = zip.find(folder + "byteorder");
  if (!entry) return;  // files of torch < 2.1: little
  std::string order(static_cast<std::size_t>(std::min<std::uint64_t>(entry->size, 16)), '\0');
  source.read(entry->at, std::as_writable_bytes(std::span(order)));
  if (order != "little")
    throw CheckpointError(message("byte order \"", printable(order), "\"; only little-endian files are read"));
}

}  // namespace

Inventory read_pth_zip(const ByteSource& source) {
  const ZipDirectory zip(source);
  const ZipEntry& entry = find_pickle(zip);
  const std::string folder = entry.name.substr(0, entry.name.size() - kPickle.size() + 1);
  if (zip.find(folder + "constants.pkl"))
    throw CheckpointError("this is a TorchScript program, not a checkpoint; save the model's state_dict() with torch.save");
  check_byte_order(source, zip, folder);
  check_crc(source, entry);
  pickle::Input input(source, entry.at, (Checked(entry.at) + entry.size).value());
  const pickle::Document document = pickle::read(input);
  if (input.left() != 0)
    throw CheckpointError(message("damaged: ", input.left(), " bytes follow the end of data.pkl's pickle"));

  Inventory out;
  out.format = "pth (zip)";
  for (const auto& [name, tensor] : named_tensors(document)) {
    const pickle::Storage& storage = document.storage(tensor->storage);
    const std::string key = folder + "data/" + std::string(document.text(storage.key));
    const ZipEntry* const record = zip.find(key);
    if (!record) throw CheckpointError(message("tensor ", printable(name), ": the archive has no ", printable(key)));
    out.tensors.push_back(place(name, *tensor, storage, {record->at, record->size}));
  }
  check_total(out.tensors, source.size());
  return out;
}

}  // namespace rwkv
