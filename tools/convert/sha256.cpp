// SPDX-License-Identifier: Apache-2.0
#include "convert/sha256.h"

#include "cli/exit_codes.h"
#include "cli/interrupt.h"
#include "message.h"

#include <rwkv/error.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

namespace rwkv::cli {
namespace {

// The first 32 bits of the fractions of the cube roots of the first 64 primes.
constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t sigma(std::uint32_t x, int a, int b, int c) { return std::rotr(x, a) ^ std::rotr(x, b) ^ std::rotr(x, c); }

}  // namespace

void Sha256::block(const std::uint8_t* bytes) {
  std::uint32_t w[64];
  for (int i = 0; i < 16; ++i)
    w[i] = std::uint32_t(bytes[4 * i]) << 24 | std::uint32_t(bytes[4 * i + 1]) << 16 | std::uint32_t(bytes[4 * i + 2]) << 8 |
           bytes[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = h_;
  for (int i = 0; i < 64; ++i) {
    const std::uint32_t t1 = h + sigma(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const std::uint32_t t2 = sigma(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const std::uint32_t add[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) h_[i] += add[i];
}

void Sha256::update(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::size_t used = length_ % 64, n = std::min(bytes.size(), 64 - used);
    std::copy_n(bytes.begin(), n, pending_.begin() + std::ptrdiff_t(used));
    length_ += n;
    bytes = bytes.subspan(n);
    if (used + n == 64) block(pending_.data());
  }
}

std::string Sha256::hex() {
  const std::uint64_t bits = length_ * 8;
  std::vector<std::uint8_t> end(1 + (119 - length_ % 64) % 64, 0);
  end[0] = 0x80;
  for (int i = 7; i >= 0; --i) end.push_back(std::uint8_t(bits >> (8 * i)));
  update(end);
  std::string text;
  for (const std::uint32_t word : h_)
    for (int i = 28; i >= 0; i -= 4) text += "0123456789abcdef"[(word >> i) & 15];
  return text;
}

std::string sha256_of_file(const std::filesystem::path& path) {
  const auto fail = [&](int code) { throw FileError(message(printable(path.string()), ": ", std::strerror(code)), code); };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(errno);
  Sha256 sum;
  std::vector<std::uint8_t> buffer(1 << 20);
  ssize_t n = 1;
  int code = 0;
  while (n > 0 && !interrupted()) {
    n = ::read(fd, buffer.data(), buffer.size());
    code = errno;
    if (n > 0) sum.update(std::span(buffer).first(std::size_t(n)));
  }
  ::close(fd);
  if (interrupted()) throw Interrupted();
  if (n < 0) fail(code);
  return sum.hex();
}

}  // namespace rwkv::cli
