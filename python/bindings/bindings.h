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
#include <tuple>
#include <vector>

namespace rwkv::python {

namespace py = pybind11;

// For class_: a class of the plain kind, as type checkers see it. pybind11's own metaclass serves classes that are derived
// from.
inline py::metaclass plain_type() { return py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)); }

// __reduce__ of a class that is not sent to other processes: object's own would end this one (pybind11 3.1).
template <class Class>
void refuse_pickle(Class& type) {
  const std::string name = py::str(type.attr("__name__"));
  type.def("__reduce__", [name](const py::object&) -> py::object { throw py::type_error("cannot pickle " + name); });
}

void register_errors(py::module_& m);
void register_device_array(py::module_& m);
void register_config(py::module_& m);
void register_model(py::module_& m);
void register_state(py::module_& m);
void register_tokenizer(py::module_& m);
void register_sampler(py::module_& m);
void register_pipeline(py::module_& m);

// Base of what classes hold. pybind11 allocates, and does not construct, an object that Python made by __new__ alone; this says
// no instead. Objects are made by std::make_shared, which does not ask here.
struct Constructed {
  static void* operator new(std::size_t) { throw ArgumentError("this object was made without calling its class"); }
};

// A value of the library as such an object.
template <class T>
struct Held : T, Constructed {
  explicit Held(T value) : T(std::move(value)) {}
};
template <class T>
std::shared_ptr<Held<T>> hold(T value) {
  return std::make_shared<Held<T>>(std::move(value));
}

// A config for pickle.
using ConfigTuple = std::tuple<int, int, int, int, int, int, int, int, int, float>;
[[nodiscard]] ConfigTuple config_tuple(const ModelConfig& config);
[[nodiscard]] ModelConfig config_from(const ConfigTuple& tuple);

// A model that can be closed. Calls in other threads keep what they use until they return.
struct ModelHandle : Constructed {
  std::optional<Model> model;
  std::string path, strategy;
  int threads = 0;
  std::optional<float> head_norm_eps;
  bool fp16_state = false;

  [[nodiscard]] const Model& open() const;  // throws ArgumentError when closed
};

// What one call at a time may have.
struct Leasable : Constructed {
  std::atomic<bool> in_use = false;
};

// The right to use such a thing, until it is destroyed. Throws what the handle says for None, for one that is closed, and for
// one that another call has.
template <class Handle>
class Lease {
 public:
  explicit Lease(std::shared_ptr<Handle> handle) {
    Handle::require(handle.get());
    if (handle->in_use.exchange(true)) Handle::refuse_second();
    handle_ = std::move(handle);
  }
  Lease(Lease&& other) noexcept = default;
  ~Lease() {
    if (handle_) handle_->in_use = false;
  }
  [[nodiscard]] auto& operator*() const { return handle_->value(); }
  [[nodiscard]] auto* operator->() const { return &handle_->value(); }

 private:
  std::shared_ptr<Handle> handle_;
};

// A state that two Python threads cannot get at the same time. Arrays that look into it share it.
struct StateHandle : Leasable {
  explicit StateHandle(State s) : state(std::make_shared<State>(std::move(s))) {}
  [[nodiscard]] State& value() const { return *state; }
  static void require(const StateHandle* handle);
  [[noreturn]] static void refuse_second();

  std::shared_ptr<State> state;  // empty: closed
};

using StatePtr = std::shared_ptr<StateHandle>;
using StateLease = Lease<StateHandle>;

// A sampler likewise: forwards draw with it without the GIL.
struct SamplerHandle : Leasable {
  explicit SamplerHandle(SamplingOptions options) : sampler(std::move(options)) {}
  [[nodiscard]] Sampler& value() { return sampler; }
  static void require(const SamplerHandle* handle);
  [[noreturn]] static void refuse_second();

  Sampler sampler;
};

using SamplerPtr = std::shared_ptr<SamplerHandle>;
using SamplerLease = Lease<SamplerHandle>;

// A tokenizer, and the vocabulary it was made of, to be made again in another process.
struct TokenizerHandle : Constructed {
  explicit TokenizerHandle(FoundTokenizer vocabulary) : found(std::move(vocabulary)) {}

  FoundTokenizer found;
};

using TokenizerHandlePtr = std::shared_ptr<TokenizerHandle>;

// Tokenizer.for_model(). `model` is a Model or a path.
[[nodiscard]] TokenizerHandlePtr tokenizer_for(const py::object& model, const std::optional<std::filesystem::path>& vocabulary);

}  // namespace rwkv::python
