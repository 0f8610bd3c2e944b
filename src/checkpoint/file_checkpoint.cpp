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

template <class T>
void FileCheckpoint::read_any(const TensorInfo& tensor, std::int64_t first, std::span<T> out) const {
  const TensorInfo* const known = find(tensor.name);
  if (!known) throw ArgumentError(message(path_, ": no tensor ", printable(tensor.name)));
  const std::int64_t count = known->count();
  const auto wanted = static_cast<std::int64_t>(out.size());
  if (first < 0 || first > count || wanted > count - first)
    throw ArgumentError(message(path_, ": ", printable(tensor.name), ": elements [", first, ", ", first, " + ", wanted,
                                ") of a tensor of ", count));
  const Place& place = places_[static_cast<std::size_t>(known - tensors_.data())];
  try {
    read_window(*source_, {known->type, known->shape, place.stride, place.at}, first, out);
  } catch (const CheckpointError& error) {
    throw CheckpointError(message(path_, ": ", printable(tensor.name), ": ", error.what()));
  } catch (const std::bad_alloc&) {
    throw OutOfMemoryError(message(path_, ": ", printable(tensor.name), ": out of memory reading it"));
  }
}

void FileCheckpoint::read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) const {
  read_any(tensor, first, out);
}

void FileCheckpoint::read_bytes(const TensorInfo& tensor, std::int64_t first, std::span<std::uint8_t> out) const {
  read_any(tensor, first, out);
}

}  // namespace rwkv
