// SPDX-License-Identifier: Apache-2.0
// Small checkpoints of any version with random weights and sizes of their own, to be damaged by tests.
#pragma once
#include <map>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "test_data.h"

namespace rwkv::test {

struct Sizes {
  int n_layer = 2, n_embd = 40, n_head = 2, n_ffn = 72, n_vocab = 51, rank = 6;
  std::uint32_t seed = 1;
};

class MadeCheckpoint {
 public:
  using Shape = std::vector<std::int64_t>;

  explicit MadeCheckpoint(int version, const Sizes& sizes = {}) : rng_(sizes.seed), s_(sizes), d_(sizes.n_embd) {
    add("emb.weight", {s_.n_vocab, d_});
    norm("blocks.0.ln0");
    for (int layer = 0; layer < s_.n_layer; ++layer) {
      prefix_ = "blocks." + std::to_string(layer) + ".";
      norm("ln1");
      norm("ln2");
      for (const char* name : {"receptance", "key", "value", "output"}) matrix(std::string("att.") + name, d_, d_);
      if (version > 4) norm("att.ln_x");
      if (version == 4) version4();
      if (version == 5) version5();
      if (version == 6) version6();
      if (version == 7) version7(layer);
      matrix("ffn.key", s_.n_ffn, d_);
      matrix("ffn.value", d_, s_.n_ffn);
      if (version < 7) matrix("ffn.receptance", d_, d_);
    }
    prefix_.clear();
    norm("ln_out");
    matrix("head", s_.n_vocab, d_);
  }

  void add(const std::string& name, Shape shape, float scale = 0.5f, float mean = 0.0f) {
    std::int64_t count = 1;
    for (const auto n : shape) count *= n;
    std::normal_distribution<float> normal(mean, scale);
    std::vector<float> values(count);
    for (float& x : values) x = normal(rng_);
    tensors[prefix_ + name] = {std::move(shape), std::move(values)};
  }

  std::filesystem::path write(const std::string& name) const {
    const auto path = temporary_file(name + ".safetensors");
    std::vector<TensorInfo> infos;
    for (const auto& [tensor, value] : tensors) infos.push_back({tensor, FileType::f32, value.shape});
    SafetensorsWriter file(path, infos, metadata);
    for (const auto& [tensor, value] : tensors) file.write(std::as_bytes(std::span(value.values)));
    file.commit();
    return path;
  }

  struct Value {
    Shape shape;
    std::vector<float> values;
  };
  std::map<std::string, Value> tensors;
  std::map<std::string, std::string, std::less<>> metadata;

 private:
  void norm(const std::string& name) {
    add(name + ".weight", {d_}, 0.2f, 1.0f);
    add(name + ".bias", {d_}, 0.1f);
  }
  void matrix(const std::string& name, std::int64_t n_out, std::int64_t n_in) {
    add(name + ".weight", {n_out, n_in}, 1.0f / std::sqrt(static_cast<float>(n_in)));
  }
  void version4() {
    add("att.time_decay", {d_});
    add("att.time_first", {d_});
    for (const char* name : {"att.time_mix_k", "att.time_mix_v", "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r"})
      add(name, {1, 1, d_});
  }
  void version5() {
    version4();
    matrix("att.gate", d_, d_);
    add("att.time_mix_g", {1, 1, d_});
    add("att.time_decay", {s_.n_head, d_ / s_.n_head});
    tensors.erase(prefix_ + "att.time_first");
    add("att.time_faaaa", {s_.n_head, d_ / s_.n_head});
  }
  void version6() {
    matrix("att.gate", d_, d_);
    for (const char c : std::string("xwkvrg")) add(std::string("att.time_maa_") + c, {1, 1, d_});
    add("att.time_maa_w1", {d_, 5 * s_.rank}, 0.2f);
    add("att.time_maa_w2", {5, s_.rank, d_}, 0.2f);
    add("att.time_decay", {1, 1, d_});
    add("att.time_decay_w1", {d_, s_.rank}, 0.2f);
    add("att.time_decay_w2", {s_.rank, d_}, 0.2f);
    add("att.time_faaaa", {s_.n_head, d_ / s_.n_head});
    add("ffn.time_maa_k", {1, 1, d_});
    add("ffn.time_maa_r", {1, 1, d_});
  }
  void version7(int layer) {
    for (const char c : std::string("rwkvag")) add(std::string("att.x_") + c, {1, 1, d_});
    for (const std::string c : {"w", "a", "v", "g"}) {
      if (c == "v" && layer == 0) continue;
      add("att." + c + "1", {d_, s_.rank}, 0.2f);
      add("att." + c + "2", {s_.rank, d_}, 0.2f);
      if (c != "g") add("att." + c + "0", {1, 1, d_});
    }
    for (const char* name : {"att.k_k", "att.k_a", "ffn.x_k"}) add(name, {1, 1, d_}, 0.2f, 0.8f);
    add("att.r_k", {s_.n_head, d_ / s_.n_head});
  }

  std::mt19937 rng_;
  Sizes s_;
  std::int64_t d_;
  std::string prefix_;
};

// What `make` throws, as text.
template <class Error, class Make>
std::string message_of(const Make& make) {
  try {
    make();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace rwkv::test
