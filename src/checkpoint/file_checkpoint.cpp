// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/file_checkpoint.h"

#include <algorithm>
#include <array>
#include <new>

#include "checkpoint/window.h"
#include "message.h"

namespace rwkv {
namespace {

// Trainers wrap the model in modules of these names; the rest of the name is the model's own.
constexpr std::array<std::string_view, 3> kPrefixes = {"_forward_module.", "module.", "model."};

void strip_prefixes(std::vector<StoredTensor>& tensors) {
  bool again = true;
  while (again) {
    again = false;
    for (const std::string_view prefix : kPrefixes) {
      const auto has = [&](const StoredTensor& t) { return t.info.name.starts_with(prefix); };
      if (!std::ranges::all_of(tensors, has)) continue;
      for (auto& tensor : tensors) tensor.info.name.erase(0, prefix.size());
      again = true;
    }
  }
}

void check_names(const std::vector<StoredTensor>& tensors) {
  if (tensors.empty()) throw CheckpointError("this file holds no tensors; name a model file");
  if (tensors.size() > kMostTensors)
    throw CheckpointError(message("expected at most ", kMostTensors, " tensors, found ", tensors.size()));
  for (const auto& tensor : tensors)
    if (tensor.info.name.size() > kLongestName)
      throw CheckpointError(message("tensor name \"", printable(tensor.info.name), "\": longer than ", kLongestName, " bytes"));
}

}  // namespace

FileCheckpoint::FileCheckpoint(std::string path, std::unique_ptr<ByteSource> source, Inventory inventory)
    : source_(std::move(source)) {
  auto& found = inventory.tensors;
  check_names(found);
  strip_prefixes(found);
  const auto name = [](const StoredTensor& t) -> const std::string& { return t.info.name; };
  std::ranges::sort(found, {}, name);
  const auto twice = std::ranges::adjacent_find(found, {}, name);
  if (twice != found.end())
    throw CheckpointError(message("tensor ", printable(twice->info.name), ": two tensors have this name"));

  path_ = std::move(path);
  format_ = std::move(inventory.format);
  metadata_ = std::move(inventory.metadata);
  tensors_.reserve(found.size());
  places_.reserve(found.size());
  for (auto& tensor : found) {
    tensors_.push_back(std::move(tensor.info));
    places_.push_back({tensor.at, std::move(tensor.stride)});
  }
}

const TensorInfo& FileCheckpoint::known_tensor(const std::string& name) const {
  const TensorInfo* const known = find(name);
  if (!known) throw ArgumentError(message(path_, ": no tensor ", printable(name)));
  return *known;
}

template <class Read>
void FileCheckpoint::read_any(const TensorInfo& tensor, std::int64_t first, std::int64_t wanted, const Read& read) const {
  const TensorInfo& known = known_tensor(tensor.name);
  const std::int64_t count = known.count();
  if (first < 0 || first > count || wanted > count - first)
    throw ArgumentError(message(path_, ": ", printable(tensor.name), ": elements [", first, ", ", first, " + ", wanted,
                                ") of a tensor of ", count));
  const Place& place = places_[static_cast<std::size_t>(&known - tensors_.data())];
  try {
    read(Layout{known.type, known.shape, place.stride, place.at});
  } catch (const CheckpointError& error) {
    throw CheckpointError(message(path_, ": ", printable(tensor.name), ": ", error.what()));
  } catch (const std::bad_alloc&) {
    throw OutOfMemoryError(message(path_, ": ", printable(tensor.name), ": out of memory reading it"));
  }
}

void FileCheckpoint::read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) const {
  read_any(tensor, first, std::ssize(out), [&](const Layout& layout) { read_window(*source_, layout, first, out); });
}

void FileCheckpoint::read_bytes(const TensorInfo& tensor, std::int64_t first, std::span<std::uint8_t> out) const {
  read_any(tensor, first, std::ssize(out), [&](const Layout& layout) { read_window(*source_, layout, first, out); });
}

void FileCheckpoint::read_stored(const TensorInfo& tensor, std::int64_t first, std::span<std::byte> out) const {
  const FileType type = known_tensor(tensor.name).type;
  const std::int64_t size = bytes_of(type);
  if (std::ssize(out) % size != 0)
    throw ArgumentError(
        message(path_, ": ", printable(tensor.name), ": ", out.size(), " bytes are no whole elements of ", name_of(type)));
  read_any(tensor, first, std::ssize(out) / size,
           [&](const Layout& layout) { read_stored_window(*source_, layout, first, out); });
}

}  // namespace rwkv
