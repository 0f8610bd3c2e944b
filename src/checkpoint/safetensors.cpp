// SPDX-License-Identifier: Apache-2.0
// The header is read event by event: a tree of it would take ten times its size.
#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "checkpoint/checked.h"
#include "message.h"

namespace rwkv {
namespace {

using nlohmann::json;

constexpr std::pair<FileType, std::string_view> kTypes[] = {
    {FileType::f64, "F64"}, {FileType::f32, "F32"},     {FileType::f16, "F16"}, {FileType::bf16, "BF16"},
    {FileType::u8, "U8"},   {FileType::i8, "I8"},       {FileType::i16, "I16"}, {FileType::i32, "I32"},
    {FileType::i64, "I64"}, {FileType::boolean, "BOOL"}};

struct Entry {
  std::string name;
  std::optional<FileType> type;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

// {name: {"dtype": text, "shape": [n, ...], "data_offsets": [begin, end]}, "__metadata__": {text: text}}: each event is
// checked against the only place where it may occur, so that nothing can be nested deeper.
class HeaderEvents final : public nlohmann::json_sax<json> {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string, std::less<>> metadata;

  bool start_object(std::size_t) override {
    if (place_ == Place::start) return go(Place::top);
    if (place_ != Place::tensor_value) fail("an object where none belongs");
    if (key_ != "__metadata__") {
      if (entries.size() >= kMostTensors) fail(message("more than ", kMostTensors, " tensors"));
      entries.emplace_back().name = key_;
      return go(Place::tensor);
    }
    if (has_metadata_) fail("__metadata__ is there twice");
    has_metadata_ = true;
    return go(Place::metadata);
  }
  bool end_object() override { return go(place_ == Place::top ? Place::end : Place::top); }
  bool key(std::string& name) override {
    key_ = std::move(name);
    switch (place_) {
      case Place::top:
        return go(Place::tensor_value);
      case Place::metadata:
        return go(Place::metadata_value);
      case Place::tensor:
        break;
      default:
        fail("a key where none belongs");
    }
    if (key_ == "dtype" && !entries.back().type) return go(Place::dtype);
    if (key_ == "shape" && !entries.back().shape) return go(Place::shape_value);
    if (key_ == "data_offsets" && !entries.back().offsets) return go(Place::offsets_value);
    fail(message("key \"", printable(key_), "\" is unknown or there twice"));
  }
  bool string(std::string& text) override {
    if (place_ == Place::metadata_value) {
      if (!metadata.emplace(std::move(key_), std::move(text)).second) fail("a key of __metadata__ is there twice");
      return go(Place::metadata);
    }
    if (place_ != Place::dtype) fail("a text where none belongs");
    entries.back().type = safetensors_type(text);
    if (!entries.back().type) fail(message("type \"", printable(text), "\" is not supported"));
    return go(Place::tensor);
  }
  bool start_array(std::size_t) override {
    if (place_ == Place::shape_value)
      entries.back().shape.emplace();
    else if (place_ == Place::offsets_value)
      entries.back().offsets.emplace();
    else
      fail("a list where none belongs");
    return go(place_ == Place::shape_value ? Place::shape : Place::offsets);
  }
  bool end_array() override { return go(Place::tensor); }
  bool number_unsigned(std::uint64_t number) override {
    if (place_ == Place::shape) {
      if (number > std::uint64_t(kLongestDimension)) fail(message("a dimension of ", number, " elements"));
      if (entries.back().shape->size() >= kMostDimensions) fail(message("more than ", kMostDimensions, " dimensions"));
      entries.back().shape->push_back(static_cast<std::int64_t>(number));
    } else if (place_ == Place::offsets && entries.back().offsets->size() < 2) {
      entries.back().offsets->push_back(number);
    } else {
      fail("a number where none belongs");
    }
    return true;
  }
  bool null() override { fail("null where a value is needed"); }
  bool boolean(bool) override { fail("true or false where a value is needed"); }
  bool number_integer(std::int64_t number) override { fail(message("the negative number ", number)); }
  bool number_float(double, const std::string& text) override { fail(message("the number ", printable(text))); }
  bool binary(json::binary_t&) override { fail("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    throw CheckpointError(message("damaged safetensors header: not JSON at its byte ", position));
  }

 private:
  enum class Place {
    start,
    top,
    tensor_value,
    tensor,
    dtype,
    shape_value,
    shape,
    offsets_value,
    offsets,
    metadata,
    metadata_value,
    end
  };

  bool go(Place place) {
    place_ = place;
    return true;
  }
  [[noreturn]] void fail(std::string_view what) const {
    const bool inside =
        !entries.empty() && place_ != Place::top && place_ != Place::tensor_value && place_ != Place::metadata_value;
    throw CheckpointError(
        message("damaged safetensors header", inside ? ", tensor " + printable(entries.back().name) : "", ": ", what));
  }

  Place place_ = Place::start;
  std::string key_;
  bool has_metadata_ = false;
};

std::uint64_t header_length(const ByteSource& source) {
  std::array<std::uint64_t, 1> length;
  source.read(0, std::as_writable_bytes(std::span(length)));
  if (length[0] > kLargestHeader)
    throw CheckpointError(message("safetensors header of ", length[0], " bytes; at most ", kLargestHeader, " are read"));
  if (length[0] > source.size() - 8)
    throw CheckpointError(message("truncated: the safetensors header needs ", length[0] + 8, " bytes, the file has ",
                                  source.size(), "; the download is incomplete"));
  return length[0];
}

HeaderEvents parse_header(const ByteSource& source, std::uint64_t length) {
  std::string text(static_cast<std::size_t>(length), '\0');
  source.read(8, std::as_writable_bytes(std::span(text)));
  if (!text.starts_with('{')) throw CheckpointError("damaged safetensors header: it does not start with {");
  HeaderEvents events;
  json::sax_parse(text, &events);
  return events;
}

// Offsets count from the end of the header; entries come by growing offset.
StoredTensor place(const Entry& entry, std::uint64_t data) {
  const auto bad = [&](std::string_view what) { throw CheckpointError(message("tensor ", printable(entry.name), ": ", what)); };
  Checked bytes = static_cast<std::uint64_t>(bytes_of(*entry.type));
  const bool empty = std::ranges::find(*entry.shape, 0) != entry.shape->end();
  for (const std::int64_t n : *entry.shape) bytes = empty ? Checked(0) : bytes * static_cast<std::uint64_t>(n);
  const std::uint64_t begin = (*entry.offsets)[0], end = (*entry.offsets)[1];
  if (end < begin || bytes != end - begin)
    bad(message(name_of(*entry.type), " ", shape_text(*entry.shape), " needs ", bytes.value(), " bytes, data_offsets are ",
                begin, " to ", end));
  return {{entry.name, *entry.type, *entry.shape}, (Checked(data) + begin).value(), {}};
}

}  // namespace

std::string_view safetensors_name(FileType type) {
  return std::ranges::find(kTypes, type, &std::pair<FileType, std::string_view>::first)->second;
}

std::optional<FileType> safetensors_type(std::string_view name) {
  const auto* const at = std::ranges::find(kTypes, name, &std::pair<FileType, std::string_view>::second);
  return at == std::end(kTypes) ? std::nullopt : std::optional(at->first);
}

Inventory read_safetensors(const ByteSource& source) {
  const std::uint64_t length = header_length(source), data = length + 8;
  HeaderEvents header = parse_header(source, length);
  for (const Entry& entry : header.entries)
    if (!entry.type || !entry.shape || !entry.offsets || entry.offsets->size() != 2)
      throw CheckpointError(message("tensor ", printable(entry.name), ": needs dtype, shape and two data_offsets"));
  std::vector<const Entry*> by_offset;
  for (const Entry& entry : header.entries) by_offset.push_back(&entry);
  std::ranges::sort(by_offset, {}, [](const Entry* e) { return std::pair((*e->offsets)[0], (*e->offsets)[1]); });

  Inventory out;
  out.format = "safetensors";
  out.metadata = std::move(header.metadata);
  std::uint64_t next = 0;
  for (const Entry* entry : by_offset) {
    out.tensors.push_back(place(*entry, data));
    if ((*entry->offsets)[0] != next)
      throw CheckpointError(message("tensor ", printable(entry->name), ": starts at byte ", (*entry->offsets)[0],
                                    " of the data, expected ", next, ": tensors must follow each other"));
    next = (*entry->offsets)[1];
  }
  const Checked end = Checked(data) + next;
  if (end > source.size())
    throw CheckpointError(message("truncated: the tensors need ", end.value(), " bytes, the file has ", source.size(),
                                  "; the download is incomplete"));
  if (end < source.size())
    throw CheckpointError(message("damaged: ", source.size() - end.value(), " bytes follow the last tensor"));
  return out;
}

}  // namespace rwkv
