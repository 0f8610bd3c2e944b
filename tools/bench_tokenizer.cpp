// SPDX-License-Identifier: Apache-2.0
// Speed of a tokenizer on a text, one thread: rwkv-bench-tokenizer TEXT VOCABULARY [RUNS]. Not built by default; by hand:
//   g++ -std=c++20 -O2 -Iinclude tools/bench_tokenizer.cpp build/librwkv.a -lhwy -lutf8proc -lpthread -o bench_tokenizer
#include <rwkv/tokenizer.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void run(const char* text_file, const char* vocabulary, int runs) {
  std::ifstream in(text_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto load_start = Clock::now();
  const rwkv::TokenizerPtr tokenizer = rwkv::load_tokenizer(vocabulary);
  const double load_seconds = seconds_since(load_start);
  std::vector<double> encode_seconds, decode_seconds;
  std::vector<rwkv::Token> ids;
  std::string decoded;
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    ids = tokenizer->encode(text);
    encode_seconds.push_back(seconds_since(start));
    const auto decode_start = Clock::now();
    decoded = tokenizer->decode(ids);
    decode_seconds.push_back(seconds_since(decode_start));
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  std::printf("%s: %.1f MB, %zu tokens, median of %d runs: encode %.1f MB/s, decode %.1f MB/s; load %.0f ms; round trip %s\n",
              tokenizer->kind().data(), megabytes, ids.size(), runs, megabytes / median(encode_seconds),
              megabytes / median(decode_seconds), load_seconds * 1e3,
              decoded == text ? "equal" : "differs (NFC, special tokens)");
}

}  // namespace

int main(int argc, char** argv) {
  int runs = 7;
  if (argc == 4) std::from_chars(argv[3], argv[3] + std::strlen(argv[3]), runs);
  if (argc < 3 || argc > 4 || runs < 1) {
    std::fprintf(stderr, "usage: %s TEXT VOCABULARY [RUNS]\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], runs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
