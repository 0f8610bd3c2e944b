// SPDX-License-Identifier: Apache-2.0
// What the files of the module share. Each class has one file with a register_<class>; names and docstrings are Python's.
#pragma once
#include <pybind11/pybind11.h>
#include <rwkv/rwkv.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rwkv::python {

namespace py = pybind11;

void register_errors(py::module_& m);
void register_config(py::module_& m);
void register_model(py::module_& m);
void register_state(py::module_& m);
void register_tokenizer(py::module_& m);
void register_sampler(py::module_& m);
void register_pipeline(py::module_& m);

// A model that can be closed. Calls in other threads keep what they use until they return.
struct ModelHandle {
  std::optional<Model> model;
  std::string path, strategy;
  int threads = 0;
  std::optional<float> head_norm_eps;

  [[nodiscard]] const Model& open() const;  // throws ArgumentError when closed
};

// A state that two Python threads cannot get at the same time. Arrays that look into it share it.
struct StateHandle {
  explicit StateHandle(State s) : state(std::make_shared<State>(std::move(s))) {}

  std::shared_ptr<State> state;  // empty: closed
  std::atomic<bool> in_use = false;
};

using StatePtr = std::shared_ptr<StateHandle>;

// The right to use a state, until it is destroyed. Throws StateError when another call has it, or it is closed.
class StateLease {
 public:
  explicit StateLease(StatePtr handle);
  StateLease(StateLease&& other) noexcept = default;
  ~StateLease();

  [[nodiscard]] State& operator*() const { return *handle_->state; }
  [[nodiscard]] State* operator->() const { return handle_->state.get(); }

 private:
  StatePtr handle_;
};

// A tokenizer, and the vocabulary it was made of, to be made again in another process.
struct TokenizerHandle {
  FoundTokenizer found;
};

using TokenizerHandlePtr = std::shared_ptr<TokenizerHandle>;

// Tokenizer.for_model(). `model` is a Model or a path.
[[nodiscard]] TokenizerHandlePtr tokenizer_for(const py::object& model, const std::optional<std::filesystem::path>& vocabulary);

}  // namespace rwkv::python
