// SPDX-License-Identifier: Apache-2.0
// Model.
#include <malloc.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <sstream>

#include "arrays.h"
#include "interrupt.h"
#include "tokens.h"

namespace rwkv::python {
namespace {

struct Memory {
  std::int64_t weights, state;
};

// progress: None or False, True for a bar, or a function of two integers.
py::object progress_function(const py::object& progress) {
  if (progress.is_none() || progress.is(py::bool_(false))) return py::none();
  if (progress.is(py::bool_(true))) return py::module_::import("rwkvcpp._progress").attr("bar")();
  if (!PyCallable_Check(progress.ptr())) throw py::type_error("progress must be True, False, or a function of (done, total)");
  return progress;
}

std::shared_ptr<ModelHandle> load(const std::filesystem::path& path, const std::string& strategy, int threads,
                                  const py::object& progress, std::optional<float> head_norm_eps, bool fp16_state) {
  const py::object report = progress_function(progress);
  const Poll poll = poll_signals();
  LoadOptions options{.threads = threads, .head_norm_eps = head_norm_eps, .fp16_state = fp16_state};
  options.progress = [&](std::int64_t done, std::int64_t total) {
    if (poll) poll();
    if (report.is_none()) return;
    const py::gil_scoped_acquire gil;
    report(done, total);
  };
  auto handle = std::make_shared<ModelHandle>();
  handle->path = path.string();
  handle->strategy = strategy;
  handle->threads = threads;
  handle->head_norm_eps = head_norm_eps;
  handle->fp16_state = fp16_state;
  const py::gil_scoped_release release;
  handle->model.emplace(path, strategy, options);
  return handle;
}

StateLease lease(const ModelHandle& self, py::handle state) {
  if (state.is_none()) return StateLease(std::make_shared<StateHandle>(self.open().new_state()));
  if (!py::isinstance<StateHandle>(state)) {
    throw py::type_error("state must be a rwkvcpp.State or None, found " +
                         std::string(py::str(py::type::of(state).attr("__name__"))));
  }
  return StateLease(state.cast<StatePtr>());
}

DeviceArray on_device(const Model& model, std::span<const Sequence> batch, bool all_logits) {
  const LogitsOf which = all_logits ? LogitsOf::every_token : LogitsOf::last_token;
  const Poll poll = poll_signals();
  const py::gil_scoped_release release;
  return model.forward_on_device(batch, which, poll);
}

py::object forward(const ModelHandle& self, py::handle tokens, py::handle state, bool all_logits, bool stay) {
  const Model model = self.open();
  const std::vector<Token> ids = tokens_from(tokens);
  const StateLease leased = lease(self, state);
  const std::int64_t n_vocab = model.config().n_vocab;
  if (stay) {
    const Sequence sequence{.tokens = ids, .state = &*leased};
    DeviceArray logits = on_device(model, {&sequence, 1}, all_logits);
    if (!all_logits) logits.shape = {n_vocab};
    return py::cast(hold(std::move(logits)));
  }
  Floats logits = all_logits ? make_array({std::ssize(ids), n_vocab}) : make_array({n_vocab});
  // With no tokens at all there must be an error, not an empty array.
  const std::span<float> out = ids.empty() ? std::span<float>() : values_of(logits);
  const Poll poll = poll_signals();
  const py::gil_scoped_release release;
  model.forward(ids, *leased, out, poll);
  return logits;
}

// The i-th of a list, where None stands for a list of None.
py::object item(const py::object& list, std::size_t i) { return list.is_none() ? py::none() : py::object(list[py::int_(i)]); }

void require_one_each(const py::object& list, std::size_t n, const char* name) {
  if (list.is_none() || (py::isinstance<py::sequence>(list) && py::len(list) == n)) return;
  throw ArgumentError(std::string(name) + " must be a list of " + std::to_string(n) + ", one for each sequence of tokens");
}

// Tokens and states of a batch, which it holds.
struct Texts {
  std::vector<std::vector<Token>> tokens;
  std::vector<StateLease> states;
  std::vector<Sequence> batch;

  Texts(const ModelHandle& model, const py::sequence& list, const py::object& of_states) {
    const std::size_t n = list.size();
    require_one_each(of_states, n, "states");
    for (std::size_t i = 0; i < n; ++i) {
      tokens.push_back(tokens_from(py::object(list[i])));
      states.push_back(lease(model, item(of_states, i)));
    }
    for (std::size_t i = 0; i < n; ++i) batch.push_back({.tokens = tokens[i], .state = &*states[i]});
  }
};

void run(const Model& model, std::span<const Sequence> batch) {
  const Poll poll = poll_signals();
  const py::gil_scoped_release release;
  model.forward(batch, poll);
}

// float32 [texts, n_vocab]
Floats last_logits(const Model& model, Texts& texts) {
  const std::size_t n_vocab = model.config().n_vocab;
  Floats logits = make_array({std::ssize(texts.batch), model.config().n_vocab});
  for (std::size_t i = 0; i < texts.batch.size(); ++i) {
    texts.batch[i].logits = values_of(logits).subspan(i * n_vocab, n_vocab);
  }
  run(model, texts.batch);
  return logits;
}

// A list of float32 [tokens, n_vocab].
py::list every_logits(const Model& model, Texts& texts) {
  py::list all;
  for (Sequence& sequence : texts.batch) {
    Floats rows = make_array({std::ssize(sequence.tokens), model.config().n_vocab});
    if (!sequence.tokens.empty()) sequence.logits = values_of(rows);
    all.append(rows);
  }
  run(model, texts.batch);
  return all;
}

// One array for all texts, or a list of what is each one's of it.
py::object logits_on_device(const Model& model, const Texts& texts, bool all_logits) {
  const DeviceArray logits = on_device(model, texts.batch, all_logits);
  if (!all_logits) return py::cast(hold(logits));
  py::list all;
  auto* data = static_cast<float*>(logits.data);
  for (const Sequence& sequence : texts.batch) {
    DeviceArray rows = logits;
    rows.shape[0] = std::ssize(sequence.tokens);
    rows.data = data;
    data += rows.shape[0] * rows.shape[1];
    all.append(hold(std::move(rows)));
  }
  return all;
}

// A list of the tokens that samplers draw; None: a text without one, or with broken logits.
py::list token_list(const std::vector<Token>& drawn) {
  py::list list;
  for (const Token token : drawn) list.append(token < 0 ? py::object(py::none()) : py::int_(token));
  return list;
}

[[noreturn]] void raise_with_drawn(const NumericError& error, const py::list& tokens) {
  const py::object type = py::module_::import("rwkvcpp.errors").attr("NumericError");
  const py::object raised = type(error.what());
  raised.attr("tokens") = tokens;
  PyErr_SetObject(type.ptr(), raised.ptr());
  throw py::error_already_set();
}

py::list draw(const Model& model, Texts& texts, const py::object& samplers) {
  require_one_each(samplers, texts.batch.size(), "samplers");
  std::vector<SamplerLease> leases;
  std::vector<Token> drawn(texts.batch.size(), -1);
  leases.reserve(drawn.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const py::object sampler = item(samplers, i);
    if (sampler.is_none()) continue;
    if (!py::isinstance<SamplerHandle>(sampler)) {
      throw py::type_error("samplers must be rwkvcpp.Sampler or None, found " +
                           std::string(py::str(py::type::of(sampler).attr("__name__"))));
    }
    leases.emplace_back(sampler.cast<SamplerPtr>());
    texts.batch[i].sampler = &*leases.back();
    texts.batch[i].drawn = &drawn[i];
  }
  try {
    run(model, texts.batch);
  } catch (const NumericError& error) {
    raise_with_drawn(error, token_list(drawn));
  }
  return token_list(drawn);
}

py::object forward_batch(const ModelHandle& self, const py::sequence& tokens, const py::object& states, bool all_logits,
                         const py::object& samplers, bool stay) {
  const Model model = self.open();
  if ((all_logits || stay) && !samplers.is_none()) {
    throw ArgumentError("samplers draw where the logits lie, and no logits are returned: leave out all_logits and on_device");
  }
  Texts texts(self, tokens, states);
  if (!samplers.is_none()) return draw(model, texts, samplers);
  if (stay) return logits_on_device(model, texts, all_logits);
  return all_logits ? py::object(every_logits(model, texts)) : py::object(last_logits(model, texts));
}

// Freed weights go back to the system, not only to the allocator, which would keep most of them for this process.
void close(ModelHandle& self) {
  if (!self.model) return;
  self.model.reset();
#ifdef __GLIBC__
  const py::gil_scoped_release release;
  malloc_trim(0);
#endif
}

std::string describe(const ModelHandle& self) {
  if (!self.model) return "Model(closed)";
  const Model& model = *self.model;
  std::ostringstream text;
  text << "Model(" << std::string(py::str(py::repr(py::cast(self.path)))) << ", \"" << self.strategy << "\"): RWKV-"
       << model.config().version << ", " << model.config().n_layer << " layers, n_embd " << model.config().n_embd << ", "
       << model.weight_bytes() << " bytes";
  return text.str();
}

}  // namespace

const Model& ModelHandle::open() const {
  if (!model) throw ArgumentError("the model is closed");
  return *model;
}

#define RWKV_MODEL_SIGNATURE "path, strategy='auto', *, threads=0, progress=None, head_norm_eps=None, fp16_state=False"

void register_model(py::module_& m) {
  py::class_<Memory> memory(m, "Memory", "Bytes of memory; see Model.memory.", py::is_final(), plain_type());
  memory.def_readonly("weights", &Memory::weights, "Of the weights.")
      .def_readonly("state", &Memory::state, "Of each state.")
      .def("__repr__", [](const Memory& bytes) {
        return "Memory(weights=" + std::to_string(bytes.weights) + ", state=" + std::to_string(bytes.state) + ")";
      });
  refuse_pickle(memory);

  py::class_<ModelHandle, std::shared_ptr<ModelHandle>>(
      m, "Model",
      "Model(" RWKV_MODEL_SIGNATURE
      ")\n--\n\n"
      R"(A loaded RWKV model: immutable, to be used from any number of threads.

path: a .pth or .safetensors checkpoint of version 4 to 7, as published; the .pth may be left out.
strategy: where layers run and in which type: "cpu fp32", "cpu bf16 *20 -> cpu fp32" ...
threads: CPU threads of one forward; 0: one per core this process may use.
progress: a function called with (bytes done, bytes in all) while loading, or True for a tqdm bar if tqdm is installed.
head_norm_eps: of versions 5 to 7 when it is not the published models' 64e-5; it cannot be seen in a file.
fp16_state: keep states on CUDA devices in float16 (versions 5 to 7): half the memory of a sequence.

Raises MissingFileError, FileError, CheckpointError, StrategyError, DeviceError, OutOfMemoryError. Ctrl-C ends the loading.

>>> with rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32") as model:
...     logits = model.forward([10, 11, 12])
>>> logits.shape
(1024,)
)",
      py::is_final(), plain_type())
      .def(py::init(&load), py::arg("path"), py::arg("strategy") = "auto", py::kw_only(), py::arg("threads") = 0,
           py::arg("progress") = py::none(), py::arg("head_norm_eps") = py::none(), py::arg("fp16_state") = false,
           "__init__(self, " RWKV_MODEL_SIGNATURE ")\n--\n\n")
      .def_readonly("path", &ModelHandle::path, "The checkpoint, as it was given.")
      .def_readonly("strategy", &ModelHandle::strategy, "As it was given.")
      .def_property_readonly(
          "config", [](const ModelHandle& self) { return self.open().config(); }, "The model's sizes.")
      .def_property_readonly(
          "memory",
          [](const ModelHandle& self) {
            return Memory{self.open().weight_bytes(), self.open().state_bytes()};
          },
          "Bytes of the weights, and of each state.")
      .def_property_readonly(
          "placement", [](const ModelHandle& self) { return self.open().placement(); },
          R"(One line per run of layers in the same place: "blocks 0-11, head: cpu fp16".)")
      .def_property_readonly(
          "unused_tensors", [](const ModelHandle& self) { return self.open().unused_tensors(); },
          "Tensors of the file that this version has no use for, sorted.")
      .def_property_readonly(
          "closed", [](const ModelHandle& self) { return !self.model; }, "Whether close() was called.")
      .def(
          "new_state", [](const ModelHandle& self) { return std::make_shared<StateHandle>(self.open().new_state()); },
          R"(new_state(self, /)
--

The state at the start of a text.

>>> rwkvcpp.load_demo().new_state().tokens_seen
0
)")
      .def("forward", &forward, py::arg("tokens"), py::arg("state") = py::none(), py::arg("all_logits") = false, py::kw_only(),
           py::arg("on_device") = false, R"(forward(self, tokens, state=None, all_logits=False, *, on_device=False)
--

Feeds one token or many to a state, which is advanced in place; None is the start of a text. Returns the logits after the last
token, float32 [n_vocab], or after every one, [tokens, n_vocab]. One token at a time or all at once: the same result.

tokens: an int, or a list, tuple, range or array of any integer type.
on_device: leaves the logits where they are computed, as a DeviceArray, for other libraries to take without a copy.

Raises TokenError for a token outside the vocabulary and for none at all, StateError for a state of another model or one that
another call is using. After an error or Ctrl-C the state is as it was before the call.

>>> model = rwkvcpp.load_demo()
>>> state = model.new_state()
>>> model.forward([10, 11], state, all_logits=True).shape
(2, 1024)
>>> bool(abs(model.forward(12, state) - model.forward([10, 11, 12])).max() < 1e-5)
True
)")
      .def("forward_batch", &forward_batch, py::arg("tokens"), py::arg("states") = py::none(), py::arg("all_logits") = false,
           py::arg("samplers") = py::none(), py::kw_only(), py::arg("on_device") = false,
           R"(forward_batch(self, tokens, states=None, all_logits=False, samplers=None, *, on_device=False)
--

forward() for several texts at once, of any lengths, each with a state of its own (None: the start of a text): every weight is
read once for all of them. Returns [texts, n_vocab], or with all_logits a list of [tokens, n_vocab]; on_device as in forward().

samplers: a Sampler for each text, or None for texts that are only fed. The result is then a list of the tokens that they draw, as
Sampler.sample() would (None for None), where the logits lie: a GPU sends nothing else back, and all of a CPU's threads draw. Tokens
are not counted: call Sampler.accept(). NumericError for broken logits comes when all texts have been fed; its `tokens` are what the
others drew. Raises ArgumentError for a sampler that two texts share or another call is using.

>>> model = rwkvcpp.load_demo()
>>> states = [model.new_state() for _ in range(3)]
>>> model.forward_batch([[10], [10, 11], range(7)], states).shape
(3, 1024)
>>> greedy = [rwkvcpp.Sampler(temperature=0) for _ in states]
>>> tokens = model.forward_batch([817, 584, 270], states, samplers=greedy)
>>> [type(token).__name__ for token in tokens]
['int', 'int', 'int']
)")
      .def("close", &close, R"(close(self, /)
--

Frees the weights, as soon as calls in other threads have returned. States stay valid.

>>> model = rwkvcpp.load_demo()
>>> model.close()
>>> model.closed
True
)")
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](ModelHandle& self, const py::args&) { close(self); })
      .def("__reduce__",
           [](const ModelHandle& self) {
             (void)self.open();
             return py::make_tuple(py::module_::import("rwkvcpp._pickle").attr("model"),
                                   py::make_tuple(std::filesystem::absolute(self.path).string(), self.strategy, self.threads,
                                                  self.head_norm_eps, self.fp16_state));
           })
      .def("__repr__", &describe);
  m.def(
      "_model",
      [](const std::filesystem::path& path, const std::string& strategy, int threads, std::optional<float> head_norm_eps,
         bool fp16_state) { return load(path, strategy, threads, py::none(), head_norm_eps, fp16_state); },
      "For pickle.");
}

}  // namespace rwkv::python
