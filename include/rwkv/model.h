// SPDX-License-Identifier: Apache-2.0
// A loaded RWKV model: weights on their devices, immutable, shared by threads.
#pragma once
#include <rwkv/device_array.h>
#include <rwkv/error.h>
#include <rwkv/state.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rwkv {

using Token = std::int32_t;

struct ModelConfig {
  int version = 0;  // 4, 5, 6 or 7
  int minor = 0;    // 5.0, 5.1, 5.2: 0, 1, 2; else 0
  int n_layer = 0;
  int n_embd = 0;
  int n_att = 0;  // n_embd in all published models
  int n_ffn = 0;
  int n_vocab = 0;
  int n_head = 0;                // 0 for RWKV-4
  int head_size = 0;             // 0 for RWKV-4
  float head_norm_eps = 64e-5f;  // versions 5 to 7; see LoadOptions

  bool operator==(const ModelConfig&) const = default;
};

struct State::Snapshot {
  ModelConfig config;
  std::uint64_t fingerprint = 0;  // of the model's weights
  std::int64_t tokens_seen = 0;
  std::vector<Array> arrays;
};

struct LoadOptions {
  int threads = 0;  // CPU threads of a forward; 0: one per core this process may use

  // Called now and then while weights are read, from the loading thread, with bytes of the file read so far and in all.
  // An exception thrown here ends the load and reaches the caller.
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};

  // Epsilon of the head norm of versions 5 to 7. Empty: the file's metadata `rwkv.head_norm_eps`, else 64e-5, which is what
  // published models are trained with. It cannot be seen in the tensors; rwkv.cpp's tiny test models of version 5 need 1e-5.
  std::optional<float> head_norm_eps = {};

  // Keeps S, most of a state, in float16 on CUDA devices (versions 5 to 7): half the memory of a sequence, and half of what a
  // step of many sequences reads for it. S is rounded after each call; what lies beyond 65504 becomes that. Sums, saved states
  // and State::arrays() are float32 as ever. ArgumentError when no layer can.
  bool fp16_state = false;
};

class Sampler;

// One sequence of a batched forward.
struct Sequence {
  std::span<const Token> tokens;  // at least one
  State* state;                   // advanced in place; no two sequences of a batch share one
  std::span<float> logits = {};   // [n_vocab] after the last token, [tokens, n_vocab] for all, empty for none

  // Draws the token after the last one as Sampler::sample() does, where the logits lie: a GPU sends the token alone, a CPU
  // draws for many sequences at once. It is not counted: call Sampler::accept(). No two sequences of a batch share a sampler.
  Sampler* sampler = nullptr;
  Token* drawn = nullptr;  // where the token goes
};

// Which logits of each sequence.
enum class LogitsOf { last_token, every_token };

// Called now and then by long work, from the thread that called it. What it throws ends the work and reaches the caller.
using Poll = std::function<void()>;

class Model {
 public:
  // Loads a `.pth` or `.safetensors` checkpoint (told apart by content; the path may lack its `.pth`).
  // `strategy`: docs/strategy.md. Throws FileError, CheckpointError, StrategyError, DeviceError, OutOfMemoryError.
  explicit Model(const std::filesystem::path& checkpoint, std::string_view strategy = "auto", const LoadOptions& = {});

  [[nodiscard]] const ModelConfig& config() const noexcept;

  // Bytes of weights in memory.
  [[nodiscard]] std::int64_t weight_bytes() const noexcept;

  // Of each state.
  [[nodiscard]] std::int64_t state_bytes() const noexcept;

  // One line per run of layers with the same placement: "blocks 0-11, head: cpu (AVX3) fp16".
  [[nodiscard]] std::string placement() const;

  // Tensors of the file that this version has no use for, sorted. Often the mark of a newer architecture.
  [[nodiscard]] const std::vector<std::string>& unused_tensors() const noexcept;

  // The state at the start of a text. Throws OutOfMemoryError.
  [[nodiscard]] State new_state() const;

  // Feeds `tokens` to `state`. `logits` as in Sequence. When it throws, for bad arguments (TokenError, StateError,
  // ArgumentError), for want of memory (OutOfMemoryError: calls at the same time take some each) or because `poll` did, all
  // states and samplers are as they were before. Calls of some milliseconds are not polled. NumericError, when a sequence has
  // broken logits to draw from, comes after all else: all tokens are fed, and the other sequences have their drawn token, that
  // one a negative number.
  void forward(std::span<const Token> tokens, State& state, std::span<float> logits, const Poll& poll = {}) const;
  void forward(std::span<const Sequence> batch, const Poll& poll = {}) const;

  // As forward(), and leaves the logits where they are computed: float32 [rows, n_vocab] on the device of the head, a row for
  // each sequence or each of its tokens, one sequence after the other, in memory that is allocated for them.
  [[nodiscard]] DeviceArray forward_on_device(std::span<const Sequence> batch, LogitsOf which = LogitsOf::last_token,
                                              const Poll& poll = {}) const;

  struct Impl;  // opaque

 private:
  friend class State;
  friend Model make_model(std::shared_ptr<const Impl> impl);
  explicit Model(std::shared_ptr<const Impl> impl) noexcept;
  struct KeptLogits;
  void run(std::span<const Sequence> batch, const KeptLogits& kept, const Poll& poll) const;
  std::shared_ptr<const Impl> impl_;
};

// What a checkpoint holds, read without its weights.
struct CheckpointInfo {
  ModelConfig config;
  std::string format;  // "pth (zip)", "pth (legacy)", "safetensors"
  std::string type;    // of the matrices as stored: "bf16", or "mixed"
  std::int64_t parameters = 0;
  std::int64_t bytes = 0;      // of all tensors as stored
  bool has_tokenizer = false;  // a vocabulary is inside the file
  std::vector<std::string> unused_tensors;
};

// Opens and checks a checkpoint; throws like Model's constructor.
[[nodiscard]] CheckpointInfo inspect(const std::filesystem::path& checkpoint);

}  // namespace rwkv
