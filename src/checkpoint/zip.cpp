// SPDX-License-Identifier: Apache-2.0
// Sizes come from the central directory: torch leaves those of the local headers 0. Format: PKWARE APPNOTE.TXT 6.3, 4.3.
#include "checkpoint/zip.h"

#include <algorithm>
#include <array>
#include <optional>

#include "checkpoint/checked.h"
#include "checkpoint/cursor.h"
#include "message.h"

namespace rwkv {
namespace {

constexpr std::uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50, kEnd64Magic = 0x06064b50,
                        kLocator64Magic = 0x07064b50;
constexpr std::size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20;
constexpr std::size_t kLongestComment = 65535, kLongestEntryName = 1024;
constexpr std::uint64_t kMostEntries = 100000, kLargestDirectory = 64 << 20;
constexpr std::uint16_t kWide16 = 0xffff;  // the value is in the zip64 record
constexpr std::uint32_t kWide32 = 0xffffffff;
constexpr std::uint16_t kStored = 0, kEncrypted = 0x2041;  // flag bits 0, 6, 13

[[noreturn]] void fail(std::string_view what) { throw CheckpointError(message("damaged zip archive: ", what)); }

[[noreturn]] void fail(std::string_view name, std::string_view what) {
  throw CheckpointError(message("damaged zip archive: entry \"", printable(name), "\": ", what));
}

std::vector<std::byte> read_bytes(const ByteSource& source, std::uint64_t at, std::size_t size) {
  std::vector<std::byte> out(size);
  source.read(at, out);
  return out;
}

struct Directory {
  std::uint64_t count, at, size;
};

// An entry as the central directory has it.
struct Record {
  std::uint64_t size, local;
  std::uint32_t crc;
  std::uint16_t flags;
  std::string name;
};

// The end record is the last thing in the file; only its comment may follow.
std::uint64_t find_end(const ByteSource& source) {
  const std::uint64_t size = source.size();
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(size, kEndSize + kLongestComment));
  const auto tail = read_bytes(source, size - length, length);
  std::optional<std::uint64_t> found;
  for (std::size_t i = 0; i + kEndSize <= length; ++i) {
    if (tail[i] != std::byte('P')) continue;
    Cursor at(std::span<const std::byte>(tail).subspan(i, kEndSize));
    if (at.take<std::uint32_t>() != kEndMagic) continue;
    at.skip(16);
    if (i + kEndSize + at.take<std::uint16_t>() != length) continue;
    if (found) fail("it has two end records");
    found = size - length + i;
  }
  if (!found)
    throw CheckpointError(message("truncated: a zip archive without its directory at the end; the download is incomplete (",
                                  size, " bytes are here)"));
  return *found;
}

// The zip64 end record stands before its locator, which stands before the end record at `end`.
std::optional<Directory> find_directory64(const ByteSource& source, std::uint64_t end) {
  if (end < kLocator64Size + kEnd64Size) return {};
  const std::uint64_t locator_at = end - kLocator64Size;
  const auto locator = read_bytes(source, locator_at, kLocator64Size);
  Cursor fields(locator);
  if (fields.take<std::uint32_t>() != kLocator64Magic) return {};
  const auto disk = fields.take<std::uint32_t>();
  const auto at = fields.take<std::uint64_t>();
  const auto disks = fields.take<std::uint32_t>();
  if (disk != 0 || disks > 1) fail("it is split over several files");

  if (at > locator_at - kEnd64Size) fail("the zip64 end record is outside the file");
  const auto record = read_bytes(source, at, kEnd64Size);
  Cursor end64(record);
  if (end64.take<std::uint32_t>() != kEnd64Magic) fail("the zip64 end record is not where its locator says");
  if (Checked(end64.take<std::uint64_t>()) + at + 12 != locator_at) fail("the zip64 end record has a wrong size");
  end64.skip(4);  // versions
  if (end64.take<std::uint32_t>() != 0 || end64.take<std::uint32_t>() != 0) fail("it is split over several files");
  const auto here = end64.take<std::uint64_t>(), count = end64.take<std::uint64_t>();
  if (here != count) fail("it is split over several files");
  const auto size = end64.take<std::uint64_t>(), start = end64.take<std::uint64_t>();
  if (Checked(start) + size != at) fail("the directory does not end at the zip64 end record");
  return Directory{count, start, size};
}

Directory find_directory(const ByteSource& source) {
  const std::uint64_t end = find_end(source);
  const auto record = read_bytes(source, end, kEndSize);
  Cursor fields(record);
  fields.skip(4);
  const auto disk = fields.take<std::uint16_t>(), first_disk = fields.take<std::uint16_t>();
  const auto here = fields.take<std::uint16_t>(), count = fields.take<std::uint16_t>();
  const auto size = fields.take<std::uint32_t>(), at = fields.take<std::uint32_t>();
  const auto wide = find_directory64(source, end);
  const auto single = [&](std::uint16_t number) { return number == 0 || (wide && number == kWide16); };
  if (!single(disk) || !single(first_disk) || here != count) fail("it is split over several files");
  if (!wide) {
    if (Checked(at) + size != end) fail("the directory does not end at the end record");
    return {count, at, size};
  }
  if ((count != kWide16 && count != wide->count) || (size != kWide32 && size != wide->size) ||
      (at != kWide32 && at != wide->at))
    fail("the two end records disagree");
  return *wide;
}

// Field 1 of the extra fields: 64-bit numbers for those that are all ones in the record, in this order.
void widen(Cursor extra, std::uint64_t& size, std::uint64_t& packed, std::uint64_t& local) {
  while (extra.left() >= 4) {
    const auto tag = extra.take<std::uint16_t>(), length = extra.take<std::uint16_t>();
    Cursor field(extra.take(length));
    if (tag != 1) continue;
    for (std::uint64_t* const number : {&size, &packed, &local})
      if (*number == kWide32) *number = field.take<std::uint64_t>();
    return;
  }
}

Record take_record(Cursor& directory) {
  if (directory.left() < kCentralSize || directory.take<std::uint32_t>() != kCentralMagic)
    fail("the directory has fewer entries than the end record says");
  directory.skip(4);  // versions
  Record record;
  record.flags = directory.take<std::uint16_t>();
  const auto method = directory.take<std::uint16_t>();
  directory.skip(4);  // time
  record.crc = directory.take<std::uint32_t>();
  std::uint64_t packed = directory.take<std::uint32_t>();
  record.size = directory.take<std::uint32_t>();
  const auto name = directory.take<std::uint16_t>(), extra = directory.take<std::uint16_t>();
  const auto comment = directory.take<std::uint16_t>(), disk = directory.take<std::uint16_t>();
  directory.skip(6);  // attributes
  record.local = directory.take<std::uint32_t>();
  record.name = directory.text(name);
  widen(Cursor(directory.take(extra)), record.size, packed, record.local);
  directory.skip(comment);

  if (name == 0 || name > kLongestEntryName) fail(record.name, "its name is empty or longer than 1024 bytes");
  if (record.flags & kEncrypted) fail(record.name, "it is encrypted, which torch never writes");
  if (method != kStored) fail(record.name, message("compressed (method ", method, "); torch stores entries uncompressed"));
  if (packed != record.size) fail(record.name, "its two sizes differ");
  if (disk != 0 && disk != kWide16) fail(record.name, "it is in another file");
  return record;
}

// Compares with the header in front of the entry's bytes and returns where these start.
std::uint64_t data_start(const ByteSource& source, const Record& record) {
  const auto header = read_bytes(source, record.local, kLocalSize);
  Cursor fields(header);
  if (fields.take<std::uint32_t>() != kLocalMagic) fail(record.name, "its header is not where the directory says");
  fields.skip(2);
  const auto flags = fields.take<std::uint16_t>(), method = fields.take<std::uint16_t>();
  fields.skip(4);
  const auto crc = fields.take<std::uint32_t>(), packed = fields.take<std::uint32_t>(), size = fields.take<std::uint32_t>();
  const auto name_length = fields.take<std::uint16_t>(), extra_length = fields.take<std::uint16_t>();
  const auto same = [&](std::uint32_t n) { return n == 0 || n == kWide32 || n == record.size; };
  if ((flags & kEncrypted) || method != kStored || !same(packed) || !same(size) || (crc != 0 && crc != record.crc))
    fail(record.name, "its header and the directory disagree");
  const Checked name_at = Checked(record.local) + kLocalSize;
  std::string name(record.name.size(), '\0');
  if (name_length == name.size()) source.read(name_at.value(), std::as_writable_bytes(std::span(name)));
  if (name_length != name.size() || name != record.name) fail(record.name, "its header has another name");
  return (name_at + name_length + extra_length).value();
}

constexpr auto kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}();

}  // namespace

ZipDirectory::ZipDirectory(const ByteSource& source) {
  const Directory directory = find_directory(source);
  if (directory.count == 0) fail("it is empty");
  if (directory.count > kMostEntries || directory.size > kLargestDirectory)
    fail(message("more than ", kMostEntries, " entries or ", kLargestDirectory, " bytes in its directory"));
  const auto bytes = read_bytes(source, directory.at, static_cast<std::size_t>(directory.size));
  if (directory.count > bytes.size() / kCentralSize) fail("the directory has fewer entries than the end record says");
  Cursor records(bytes);

  struct Extent {
    std::uint64_t begin, end;
  };
  std::vector<Extent> extents;
  extents.reserve(directory.count);
  entries_.reserve(directory.count);
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    Record record = take_record(records);
    const std::uint64_t at = data_start(source, record);
    extents.push_back({record.local, (Checked(at) + record.size).value()});
    entries_.push_back({std::move(record.name), at, record.size, record.crc});
  }
  if (records.left() != 0) fail("the directory has more entries than the end record says");

  std::ranges::sort(extents, {}, &Extent::begin);
  std::uint64_t free = 0;  // bytes before this belong to an entry
  if (extents[0].begin != 0) fail("bytes stand before its first entry");
  for (const Extent& extent : extents) {
    if (extent.begin < free) fail("two entries overlap");
    free = extent.end;
  }
  if (free > directory.at) fail("an entry overlaps the directory or is longer than the file");
  std::ranges::sort(entries_, {}, &ZipEntry::name);
  const auto twice = std::ranges::adjacent_find(entries_, {}, &ZipEntry::name);
  if (twice != entries_.end()) fail(twice->name, "two entries have this name");
}

const ZipEntry* ZipDirectory::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(entries_, name, {}, &ZipEntry::name);
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

void check_crc(const ByteSource& source, const ZipEntry& entry) {
  if (entry.crc == 0) return;
  std::array<std::byte, 1 << 14> buffer;
  std::uint32_t crc = 0xffffffffu;
  for (std::uint64_t done = 0; done < entry.size;) {
    const auto part =
        std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), entry.size - done)));
    source.read(entry.at + done, part);
    for (const std::byte b : part) crc = kCrcTable[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff] ^ (crc >> 8);
    done += part.size();
  }
  if (~crc != entry.crc) fail(entry.name, "its bytes do not match their checksum; download the file again");
}

}  // namespace rwkv
