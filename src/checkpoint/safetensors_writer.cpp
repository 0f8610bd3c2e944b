// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/inventory.h"
#include "checkpoint/safetensors.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr std::size_t kAlignment = 64, kLengthSize = 8;

std::uint64_t bytes_of_all(std::span<const TensorInfo> tensors) {
  std::uint64_t sum = 0;
  for (const auto& tensor : tensors) sum += static_cast<std::uint64_t>(tensor.count() * bytes_of(tensor.type));
  return sum;
}

std::string json_text(std::string_view text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw ArgumentError(message("\"", printable(text), "\" is not valid UTF-8"));
  }
}

void check(const TensorInfo& tensor) {
  const auto bad = [](std::int64_t n) { return n < 0 || n > kLongestDimension; };
  if (tensor.name == "__metadata__" || tensor.name.size() > kLongestName)
    throw ArgumentError(message("\"", printable(tensor.name), "\" cannot be the name of a tensor"));
  if (tensor.shape.size() > kMostDimensions || std::ranges::any_of(tensor.shape, bad))
    throw ArgumentError(message(printable(tensor.name), ": shape ", shape_text(tensor.shape), " cannot be written"));
}

}  // namespace

std::string safetensors_header(const std::vector<TensorInfo>& tensors, const SafetensorsWriter::Metadata& metadata) {
  std::string out(kLengthSize, '\0');
  std::set<std::string_view> names;
  std::uint64_t at = 0;
  const auto comma = [&] { return out.size() > kLengthSize + 1 ? "," : ""; };
  out += '{';
  if (!metadata.empty()) {
    out += "\"__metadata__\":";
    char before = '{';
    for (const auto& [key, value] : metadata) {
      out += before + json_text(key) + ":" + json_text(value);
      before = ',';
    }
    out += '}';
  }
  for (const auto& tensor : tensors) {
    check(tensor);
    if (!names.insert(tensor.name).second) throw ArgumentError(message(printable(tensor.name), ": two tensors have this name"));
    const std::uint64_t end = at + bytes_of_all({&tensor, 1});
    out += comma() + json_text(tensor.name) + message(":{\"dtype\":\"", safetensors_name(tensor.type), "\",\"shape\":") +
           nlohmann::json(tensor.shape).dump() + message(",\"data_offsets\":[", at, ",", end, "]}");
    at = end;
  }
  out += '}';
  out.append((kAlignment - out.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t length = out.size() - kLengthSize;
  if (length > kLargestHeader) throw ArgumentError(message("a header of ", length, " bytes; at most ", kLargestHeader));
  std::memcpy(out.data(), &length, sizeof length);
  return out;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& target, const std::vector<TensorInfo>& tensors,
                                     const Metadata& metadata, unsigned mode)
    : SafetensorsWriter(target, safetensors_header(tensors, metadata), bytes_of_all(tensors), mode) {}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& target, const std::string& header, std::uint64_t bytes,
                                     unsigned mode)
    : file_((require_free_space(target, header.size() + bytes), target), mode), path_(target.string()), left_(bytes) {
  file_.write(std::as_bytes(std::span(header)));
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (bytes.size() > left_) throw ArgumentError(message(path_, ": ", bytes.size(), " bytes for the ", left_, " that are left"));
  file_.write(bytes);
  left_ -= bytes.size();
}

void SafetensorsWriter::commit() {
  if (left_ != 0) throw ArgumentError(message(path_, ": ", left_, " bytes of elements are missing"));
  file_.commit();
}

}  // namespace rwkv
