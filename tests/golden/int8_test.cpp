// SPDX-License-Identifier: Apache-2.0
// 8-bit weights against recorded results of the `rwkv` package's rules (spec 2.9).
#include "golden/golden.h"
#include "weights/quantize.h"

namespace rwkv::test {
namespace {

struct Quantized {
  QuantizedVectors vectors;
  std::vector<std::uint8_t> q;  // [n_out, n_in]
};

Quantized quantized(const std::vector<float>& w, std::int64_t n_out, std::int64_t n_in) {
  Quantized result;
  result.vectors = quantize(
      {.n_out = n_out,
       .n_in = n_in,
       .read = [&](std::int64_t first,
                   std::span<float> rows) { std::copy_n(w.begin() + first * n_in, rows.size(), rows.begin()); },
       .write = [&](std::int64_t,
                    std::span<const std::uint8_t> rows) { result.q.insert(result.q.end(), rows.begin(), rows.end()); }});
  return result;
}

TEST(Int8, QuantizesBitByBitAsRecorded) {
  const auto file = open_checkpoint(data("cases/int8.safetensors"));
  for (const std::string name : {"wide", "tall", "square"}) {
    const auto& shape = file->find(name + ".w")->shape;
    const std::int64_t n_out = shape[0], n_in = shape[1];
    const Quantized found = quantized(read_tensor(*file, name + ".w"), n_out, n_in);
    std::vector<std::uint8_t> q(n_out * n_in);  // [n_in, n_out]
    file->read_bytes(*file->find(name + ".q"), 0, q);
    for (std::int64_t i = 0; i < n_out * n_in; ++i) {
      ASSERT_EQ(found.q[i], q[i % n_in * n_out + i / n_in]) << name << " " << i;
    }
    EXPECT_EQ(found.vectors.mx, read_tensor(*file, name + ".mx")) << name;
    EXPECT_EQ(found.vectors.rx, read_tensor(*file, name + ".rx")) << name;
    EXPECT_EQ(found.vectors.my, read_tensor(*file, name + ".my")) << name;
    EXPECT_EQ(found.vectors.ry, read_tensor(*file, name + ".ry")) << name;
  }
}

// A zero maximum counts as 1: q is 0, and the half step that is left is 0.5 / 256 at most.
TEST(Int8, ConstantRowsAndColumnsGiveNoNan) {
  for (const auto& [n_out, n_in] : {std::pair(3, 5), std::pair(5, 3), std::pair(4, 4)}) {
    const std::vector<float> w(n_out * n_in, 1.25f);
    const Quantized found = quantized(w, n_out, n_in);
    std::vector<float> back(w.size(), NAN);
    dequantize(found.vectors, 0, found.q, back);
    EXPECT_LE(max_difference(back, w), 0.5 / 256);
  }
}

// Same weights, float32 sums in another order, as for the unquantised golden files. Few rows of x are rounded to 2^-21 of their
// largest number (kernels/cpu/digits-inl.h), some 10 times more than float32 rounds numbers of average size.
TEST(Int8, LogitsEqualTheRecordedOnes) {
  const auto file = open_checkpoint(data("cases/int8.safetensors"));
  for (const std::string name : {"random-v4", "random-v5.2-h64", "random-v6"}) {
    if (!std::filesystem::exists(model_file(name).string() + ".pth")) continue;
    const auto expected = read_tensor(*file, name + ".fp32i8.logits");
    const Model model(model_file(name), "cpu fp32i8");
    for (const auto& [length, bound] : {std::pair(1000, 5e-5), {5, 5e-4}, {1, 5e-4}}) {
      State state = model.new_state();
      const double difference = max_difference(feed(model, state, load_golden(name).tokens, {std::size_t(length)}), expected);
      EXPECT_LE(difference, bound) << name << " " << length;
      RecordProperty("difference " + name + " " + std::to_string(length), std::to_string(difference));
    }
  }
}

}  // namespace
}  // namespace rwkv::test
