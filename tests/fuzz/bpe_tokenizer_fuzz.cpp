// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json: refused, or a tokenizer that encodes any bytes.
#include "text/bpe_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const rwkv::BpeTokenizer tokenizer(input, "input");
  (void)tokenizer.decode(tokenizer.encode(input));
  return 0;
} catch (const rwkv::TokenizerError&) {
  return 0;
}
