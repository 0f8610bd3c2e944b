// SPDX-License-Identifier: Apache-2.0
// From a path to a checkpoint; the only place that knows all formats.
#include <rwkv/error.h>

#include <cerrno>
#include <new>

#include "checkpoint/content.h"
#include "checkpoint/file_checkpoint.h"
#include "checkpoint/pth.h"
#include "checkpoint/safetensors.h"
#include "message.h"

namespace rwkv {
namespace {

Inventory read_inventory(const ByteSource& source) {
  switch (content_of(source)) {
    case Content::pth_zip:
      return read_pth_zip(source);
    case Content::pth_legacy:
      return read_pth_legacy(source);
    case Content::safetensors:
      return read_safetensors(source);
  }
  throw CheckpointError("unknown content");
}

}  // namespace

std::unique_ptr<Checkpoint> open_source(const std::string& path, std::unique_ptr<ByteSource> source) {
  try {
    Inventory inventory = read_inventory(*source);
    return std::make_unique<FileCheckpoint>(path, std::move(source), std::move(inventory));
  } catch (const CheckpointError& error) {
    throw CheckpointError(message(path, ": ", error.what()));
  } catch (const std::bad_alloc&) {
    throw OutOfMemoryError(message(path, ": out of memory reading the list of its tensors"));
  }
}

std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& path) {
  try {
    return open_source(path.string(), open_file(path));
  } catch (const FileError& error) {
    if (error.code != ENOENT || path.empty()) throw;
  }
  std::filesystem::path with_extension = path;
  with_extension += ".pth";
  try {
    return open_source(with_extension.string(), open_file(with_extension));
  } catch (const FileError& error) {
    if (error.code != ENOENT) throw;
    throw FileError(message(path.string(), ": no such file, and no ", with_extension.string(), " either"), ENOENT);
  }
}

}  // namespace rwkv
