// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/state_dict.h"

#include <algorithm>
#include <array>
#include <optional>

#include "checkpoint/checked.h"
#include "message.h"

namespace rwkv {
namespace {

using pickle::Document;
using pickle::Kind;
using pickle::Ref;

constexpr std::array<std::string_view, 3> kWrappers = {"state_dict", "model", "module"};
constexpr std::uint64_t kMostSharing = 16;  // bytes of all tensors per byte of the file

std::optional<Ref> value_of(const Document& document, Ref dict, std::string_view key) {
  const auto items = document.items(dict);
  for (std::size_t i = 0; i + 1 < items.size(); i += 2)
    if (document.kind(items[i]) == Kind::text && document.text(items[i]) == key) return items[i + 1];
  return {};
}

[[noreturn]] void fail(std::string_view name, std::string_view what) {
  throw CheckpointError(message("tensor ", printable(name), ": ", what));
}

std::string first_keys(const Document& document, Ref dict) {
  std::string out;
  const auto items = document.items(dict);
  for (std::size_t i = 0; i + 1 < items.size() && i < 10; i += 2)
    if (document.kind(items[i]) == Kind::text) out += (out.empty() ? "" : ", ") + printable(document.text(items[i]));
  return out;
}

// In each dimension of growing stride, one step leaves everything inside it behind: then no element is met twice.
bool overlaps_itself(const pickle::Tensor& tensor) {
  std::vector<std::size_t> by_stride;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i)
    if (tensor.shape[i] > 1) by_stride.push_back(i);
  std::ranges::sort(by_stride, {}, [&](std::size_t i) { return tensor.stride[i]; });
  Checked extent = 1;
  for (const std::size_t i : by_stride) {
    const auto stride = static_cast<std::uint64_t>(tensor.stride[i]);
    if (Checked(stride) < extent) return true;
    extent = extent + Checked(static_cast<std::uint64_t>(tensor.shape[i] - 1)) * stride;
  }
  return false;
}

// Elements from the first to the last, inclusive; 0 for a tensor without elements.
Checked extent_of(std::string_view name, const pickle::Tensor& tensor) {
  if (std::ranges::find(tensor.shape, 0) != tensor.shape.end()) return 0;
  Checked extent = 1;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 1) continue;
    if (tensor.stride[i] <= 0) fail(name, message("stride ", tensor.stride[i], " is not supported"));
    extent = extent + Checked(static_cast<std::uint64_t>(tensor.shape[i] - 1)) * static_cast<std::uint64_t>(tensor.stride[i]);
  }
  return extent;
}

bool is_row_major(const pickle::Tensor& tensor) {
  std::int64_t inner = 1;  // no larger than the storage, so it cannot wrap
  for (std::size_t i = tensor.shape.size(); i > 0;) {
    --i;
    if (tensor.shape[i] != 1 && tensor.stride[i] != inner) return false;
    inner *= tensor.shape[i];
  }
  return true;
}

}  // namespace

std::vector<NamedTensor> named_tensors(const Document& document) {
  Ref top = document.top;
  if (document.kind(top) != Kind::dict)
    throw CheckpointError(message("expected a map of names to tensors, found a ", name_of(document.kind(top)),
                                  "; save the model's state_dict()"));
  for (const std::string_view wrapper : kWrappers) {
    const auto inside = value_of(document, top, wrapper);
    if (!inside || document.kind(*inside) != Kind::dict) continue;
    top = *inside;
    break;
  }
  std::vector<NamedTensor> out;
  const auto items = document.items(top);
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (document.kind(items[i + 1]) != Kind::tensor) continue;
    if (document.kind(items[i]) != Kind::text) throw CheckpointError("a tensor's name is not a text");
    out.push_back({document.text(items[i]), &document.tensor(items[i + 1])});
  }
  if (out.empty())
    throw CheckpointError(message("expected a map of names to tensors, found a map without tensors and with the keys: ",
                                  first_keys(document, top)));
  return out;
}

StoredTensor place(std::string_view name, const pickle::Tensor& tensor, const pickle::Storage& storage, const Record& record) {
  const auto size = static_cast<std::uint64_t>(bytes_of(storage.type));
  if (Checked(storage.numel) * size != record.size)
    fail(name, message("its storage should have ", storage.numel, " elements of ", size, " bytes, the file has ", record.size,
                       " bytes for it"));
  const Checked extent = extent_of(name, tensor);
  if (extent > 0 && Checked(tensor.offset) + extent > storage.view_numel)
    fail(name, message("elements ", tensor.offset, " to ", (Checked(tensor.offset) + extent).value(), " of a storage of ",
                       storage.view_numel));
  if (extent > 0 && overlaps_itself(tensor)) fail(name, "elements share memory with each other, which is not supported");

  StoredTensor out;
  out.info = {std::string(name), storage.type, tensor.shape};
  const Checked first = extent > 0 ? Checked(storage.view_offset) + tensor.offset : Checked(0);
  out.at = (Checked(record.at) + first * size).value();
  if (extent > 0 && !is_row_major(tensor)) out.stride = tensor.stride;
  return out;
}

void check_total(const std::vector<StoredTensor>& tensors, std::uint64_t file_size) {
  Checked total = 0;
  for (const auto& tensor : tensors)
    total = total +
            Checked(static_cast<std::uint64_t>(tensor.info.count())) * static_cast<std::uint64_t>(bytes_of(tensor.info.type));
  if (total > Checked(file_size) * kMostSharing)
    throw CheckpointError(message("tensors of ", total.value(), " bytes in a file of ", file_size, " bytes"));
}

}  // namespace rwkv
