// SPDX-License-Identifier: Apache-2.0
#include "bench/synthetic.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <cmath>
#include <map>

#include "fnv1a.h"
#include "kernels/half.h"
#include "message.h"

namespace rwkv::bench {
namespace {

constexpr int kHeadSize = 64;

// Sizes of the published models; ranks of version 7: arXiv 2503.14456, appendix.
const SyntheticShape kShapes[] = {
    {"v4-169m", 4, 12, 768, 4 * 768, 50277, {}},
    {"v4-430m", 4, 24, 1024, 4 * 1024, 50277, {}},
    {"v6-1.6b", 6, 24, 2048, 7168, 65536, {.shift = 32, .decay = 64}},
    {"v7-0.1b", 7, 12, 768, 4 * 768, 65536, {.w = 64, .v = 32, .g = 128}},
    {"v7-0.4b", 7, 24, 1024, 4 * 1024, 65536, {.w = 64, .v = 32, .g = 128}},
    {"v7-1.5b", 7, 24, 2048, 4 * 2048, 65536, {.w = 96, .v = 64, .g = 256}},
    {"v7-2.9b", 7, 32, 2560, 4 * 2560, 65536, {.w = 96, .v = 64, .g = 320}},
    {"v7-7.2b", 7, 32, 4096, 4 * 4096, 65536, {.w = 128, .v = 96, .g = 480}},
};

// Uniform in mean - half_width to mean + half_width.
struct Values {
  float mean, half_width;
  std::uint32_t seed = 0;
};

constexpr float kSqrt3 = 1.7320508f;  // half width of a uniform distribution with standard deviation 1

// murmur3's mixing of the element's index; the upper half of the float32 is the bfloat16. No branch: compilers vectorise it.
void generate(const Values& values, std::int64_t first, std::span<float> out) {
  const float scale = values.half_width / 2147483648.0f;
  const auto start = static_cast<std::uint32_t>(first) + values.seed;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint32_t x = (start + static_cast<std::uint32_t>(i)) * 0x9e3779b1u;
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    const float value = values.mean + scale * static_cast<float>(static_cast<std::int32_t>(x));
    out[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000u);
  }
}

class SyntheticCheckpoint final : public Checkpoint {
 public:
  explicit SyntheticCheckpoint(const SyntheticShape& s);

  void read(const TensorInfo& tensor, std::int64_t first, std::span<float> out) const override {
    generate(values_.at(tensor.name), first, out);
  }
  void read_stored(const TensorInfo& tensor, std::int64_t first, std::span<std::byte> out) const override {
    std::vector<float> values(out.size() / sizeof(std::uint16_t));
    generate(values_.at(tensor.name), first, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t half = f32_to_bf16(values[i]);
      std::memcpy(out.data() + i * sizeof half, &half, sizeof half);
    }
  }
  void read_bytes(const TensorInfo& tensor, std::int64_t, std::span<std::uint8_t>) const override {
    throw CheckpointError(message(path_, ": ", tensor.name, " is not a tensor of bytes"));
  }

 private:
  using Sizes = std::vector<std::int64_t>;

  void add(const std::string& name, Sizes sizes, Values values) {
    const std::string full = prefix_ + name;
    values.seed = static_cast<std::uint32_t>(fnv1a(kFnv1aStart, std::as_bytes(std::span(full))));
    tensors_.push_back({full, FileType::bf16, std::move(sizes)});
    values_.emplace(full, values);
  }
  void norm(const std::string& name) {
    add(name + ".weight", {c_}, {1.0f, 0.1f});
    add(name + ".bias", {c_}, {0.0f, 0.1f});
  }
  // Outputs have the variance of the inputs.
  void matrix(const std::string& name, std::int64_t n_out, std::int64_t n_in) {
    add(name + ".weight", {n_out, n_in}, {0.0f, kSqrt3 / std::sqrt(static_cast<float>(n_in))});
  }
  // A pair x W1 W2 that ends a tenth as large: what it is added to decides.
  void low_rank(const std::string& name, std::int64_t rank) {
    add(name + "1", {c_, rank}, {0.0f, kSqrt3 / std::sqrt(static_cast<float>(c_))});
    add(name + "2", {rank, c_}, {0.0f, 0.1f * kSqrt3 / std::sqrt(static_cast<float>(rank))});
  }
  void mix(const std::string& prefix, std::string_view letters) {
    for (const char letter : letters) add(prefix + letter, {1, 1, c_}, {0.5f, 0.5f});
  }
  void block(const SyntheticShape& s, int layer);
  void version4();
  void version6(const SyntheticShape& s);
  void version7(const SyntheticShape& s, int layer);

  std::int64_t c_, heads_;
  std::string prefix_;
  std::map<std::string, Values, std::less<>> values_;
};

SyntheticCheckpoint::SyntheticCheckpoint(const SyntheticShape& s) : c_(s.n_embd), heads_(s.n_embd / kHeadSize) {
  path_ = "synthetic " + s.name;
  format_ = "synthetic";
  add("emb.weight", {s.n_vocab, c_}, {0.0f, 1.0f});
  norm("blocks.0.ln0");
  for (int layer = 0; layer < s.n_layer; ++layer) block(s, layer);
  prefix_.clear();
  norm("ln_out");
  matrix("head", s.n_vocab, c_);
  std::ranges::sort(tensors_, {}, &TensorInfo::name);
}

void SyntheticCheckpoint::block(const SyntheticShape& s, int layer) {
  prefix_ = message("blocks.", layer, ".");
  norm("ln1");
  norm("ln2");
  for (const char* name : {"att.receptance", "att.key", "att.value", "att.output"}) matrix(name, c_, c_);
  if (s.version == 4) version4();
  if (s.version == 6) version6(s);
  if (s.version == 7) version7(s, layer);
  matrix("ffn.key", s.n_ffn, c_);
  matrix("ffn.value", c_, s.n_ffn);
  if (s.version < 7) matrix("ffn.receptance", c_, c_);
}

void SyntheticCheckpoint::version4() {
  add("att.time_decay", {c_}, {-3.0f, 2.0f});
  add("att.time_first", {c_}, {0.0f, 1.0f});
  mix("att.time_mix_", "kvr");
  mix("ffn.time_mix_", "kr");
}

void SyntheticCheckpoint::version6(const SyntheticShape& s) {
  matrix("att.gate", c_, c_);
  norm("att.ln_x");
  mix("att.time_maa_", "xwkvrg");
  mix("ffn.time_maa_", "kr");
  add("att.time_maa_w1", {c_, 5 * s.ranks.shift}, {0.0f, kSqrt3 / std::sqrt(static_cast<float>(c_))});
  add("att.time_maa_w2", {5, s.ranks.shift, c_}, {0.0f, 0.02f});
  add("att.time_decay", {1, 1, c_}, {-3.0f, 2.0f});
  low_rank("att.time_decay_w", s.ranks.decay);
  add("att.time_faaaa", {heads_, kHeadSize}, {0.0f, 0.5f});
}

void SyntheticCheckpoint::version7(const SyntheticShape& s, int layer) {
  norm("att.ln_x");
  mix("att.x_", "rwkvag");
  mix("ffn.x_", "k");
  const std::pair<const char*, int> low_ranks[] = {{"w", s.ranks.w}, {"a", s.ranks.w}, {"v", s.ranks.v}, {"g", s.ranks.g}};
  for (const auto& [letter, rank] : low_ranks) {
    const std::string name = std::string("att.") + letter;
    if (name == "att.v" && layer == 0) continue;
    low_rank(name, rank);
    if (name != "att.g") add(name + "0", {1, 1, c_}, {-1.0f, 2.0f});
  }
  add("att.k_k", {1, 1, c_}, {0.7f, 0.1f});
  add("att.k_a", {1, 1, c_}, {1.0f, 0.1f});
  add("att.r_k", {heads_, kHeadSize}, {0.0f, 0.1f});
}

}  // namespace

std::vector<std::string> synthetic_names() {
  std::vector<std::string> names;
  for (const SyntheticShape& shape : kShapes) names.push_back(shape.name);
  return names;
}

const SyntheticShape& synthetic_shape(std::string_view name) {
  const auto* const found = std::ranges::find(kShapes, name, &SyntheticShape::name);
  if (found == std::end(kShapes)) throw ArgumentError(message("no synthetic model \"", printable(name), "\""));
  return *found;
}

std::unique_ptr<Checkpoint> make_synthetic(const SyntheticShape& shape) { return std::make_unique<SyntheticCheckpoint>(shape); }

}  // namespace rwkv::bench
