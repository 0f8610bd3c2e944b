// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/content.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "checkpoint/cursor.h"
#include "checkpoint/safetensors.h"
#include "message.h"

namespace rwkv {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kSniffed = 4096;

struct Signature {
  std::size_t at;
  std::string_view bytes;
  std::string_view says;
};
constexpr Signature kSignatures[] = {
    {0, "version https://git-lfs"sv, "this is a Git LFS pointer, not the model; download the file itself"},
    {0, "GGUF"sv, "this is a GGUF file, which is not supported; use the .pth or .safetensors file"},
    {0, "fmgg"sv, "this is a file of rwkv.cpp (.bin), which is not supported; use the .pth it was made from"},
    {0, "lmgg"sv, "this is an old ggml file, which is not supported; use the .pth or .safetensors file"},
    {0, "tjgg"sv, "this is an old ggml file (ggjt), which is not supported; use the .pth or .safetensors file"},
    {0, "\x1f\x8b"sv, "this is a gzip archive; unpack it first"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "this is an xz archive; unpack it first"},
    {0, "\x28\xb5\x2f\xfd"sv, "this is a zstd archive; unpack it first"},
    {0, "BZh"sv, "this is a bzip2 archive; unpack it first"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "this is a 7z archive; unpack it first"},
    {0, "Rar!\x1a\x07"sv, "this is a rar archive; unpack it first"},
    {257, "ustar"sv, "this is a tar archive; unpack it first, or save the model again with torch 1.6 or later"},
    {0, "PK\x07\x08"sv, "this is one part of a split zip archive; join the parts first"},
    {0, "\x93NUMPY"sv, "this is a NumPy array, not a model; save the model's state_dict() with torch.save"},
    {0, "\x89HDF\r\n\x1a\n"sv, "this is an HDF5 file, which is not supported; use the .pth or .safetensors file"},
};

bool starts_with_word(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); };
  return text.size() >= word.size() && std::equal(word.begin(), word.end(), text.begin(), same);
}

[[noreturn]] void refuse(std::string_view says) { throw CheckpointError(std::string(says)); }

void refuse_text(std::string_view head) {
  std::string_view text = head;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // byte order mark
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (starts_with_word(text, "<!doctype") || starts_with_word(text, "<html"))
    refuse("this is a web page (HTML), not the model; the download went wrong, download the file itself");
  if (starts_with_word(text, "<?xml"))
    refuse("this is an XML text (a server's error message?), not the model; download the file itself");
  if (text.starts_with('{') || text.starts_with('[')) {
    if (text.find("weight_map") != std::string_view::npos || text.find("\"total_size\"") != std::string_view::npos)
      refuse("this is the index of a model in several files, which is not supported; merge them into one file");
    refuse("this is a JSON text, not the model; name the .pth or .safetensors file");
  }
}

bool looks_like_safetensors(std::string_view head) {
  if (head.size() < 9 || head[8] != '{') return false;
  std::uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof length);
  return length < (std::uint64_t(1) << 32);  // its limit is the reader's to judge; text before { gives more
}

}  // namespace

Content content_of(const ByteSource& source) {
  if (source.size() == 0) refuse("the file is empty; download it again");
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(source.size(), kSniffed)), '\0');
  source.read(0, std::as_writable_bytes(std::span(bytes)));
  const std::string_view head = bytes;
  if (head.starts_with("PK\x03\x04") || head.starts_with("PK\x05\x06")) return Content::pth_zip;
  if (looks_like_safetensors(head)) return Content::safetensors;  // before pickles: a header may have 0x280 bytes
  if (head.size() > 2 && head[0] == '\x80' && head[1] >= 1 && head[1] <= 5) return Content::pth_legacy;
  for (const Signature& signature : kSignatures)
    if (head.size() > signature.at && head.substr(signature.at).starts_with(signature.bytes)) refuse(signature.says);
  refuse_text(head);
  if (std::ranges::all_of(head, [](char c) { return c == 0; }))
    refuse("the file starts with zeros only: the download is incomplete");
  refuse(message("not a model: neither a torch .pth nor a .safetensors file; it starts with \"", printable(head.substr(0, 16)),
                 "\" and has ", source.size(), " bytes"));
}

}  // namespace rwkv
