// SPDX-License-Identifier: Apache-2.0
// Any text: BPE gives back its normalised form, streamed or not. The test vocabulary is read from RWKV_TEST_DATA.
#include <cstdlib>

#include "text/unicode.h"
#include "text/utf8.h"

#include <rwkv/tokenizer.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const rwkv::TokenizerPtr tokenizer = rwkv::load_tokenizer(RWKV_TEST_DATA "/tokenizer/small_bpe.json");
  std::string buffer, streamed;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.find("<|endoftext|>") != std::string_view::npos) return 0;
  const std::string_view normalised = rwkv::unicode::to_nfc(input, buffer);
  const std::vector<rwkv::Token> ids = tokenizer->encode(input);
  if (tokenizer->decode(ids) != normalised) std::abort();
  rwkv::StreamDecoder stream(tokenizer);
  for (const rwkv::Token id : ids) streamed += stream.push(id);
  streamed += stream.flush();
  if (streamed != rwkv::utf8::replace_invalid(normalised)) std::abort();
  return 0;
}
