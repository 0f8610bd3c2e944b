// SPDX-License-Identifier: Apache-2.0
// State.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>

#include "arrays.h"

namespace rwkv::python {
namespace {

using Arrays = std::vector<State::Array>;

// Looks into the state's memory, and keeps it alive: a NumPy array where that is the host's, else a DeviceArray.
py::object element(const DeviceArray& array) {
  if (array.device != DeviceArray::Kind::cpu) return py::cast(hold(array));
  const py::capsule owner(new std::shared_ptr<void>(array.owner),
                          [](void* owned) { delete static_cast<std::shared_ptr<void>*>(owned); });
  return py::array(dtype_of(array), std::vector<py::ssize_t>(array.shape.begin(), array.shape.end()), array.data, owner);
}

std::size_t find(const std::vector<std::string>& names, py::handle index) {
  if (py::isinstance<py::str>(index)) {
    const auto name = index.cast<std::string>();
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) throw py::key_error("the state has no array \"" + name + "\"; see State.names");
    return static_cast<std::size_t>(found - names.begin());
  }
  const Py_ssize_t size = std::ssize(names);
  Py_ssize_t i = PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError);
  if (i == -1 && PyErr_Occurred()) throw py::error_already_set();
  if (i < 0) i += size;
  if (i < 0 || i >= size) throw py::index_error("the state has " + std::to_string(size) + " arrays");
  return static_cast<std::size_t>(i);
}

py::object get(const StatePtr& self, py::handle index) {
  const StateLease state(self);
  const std::size_t i = find(state->names(), index);
  return element(state->device_arrays()[i]);
}

void set(const StatePtr& self, py::handle index, py::handle values) {
  const Floats given = floats_from(values, "values of a state");
  const StateLease state(self);
  const std::vector<std::string> names = state->names();
  state->assign(State::Array{names[find(names, index)], shape_of(given), {given.data(), given.data() + given.size()}});
}

py::list iterable(const StatePtr& self) {
  const StateLease state(self);
  py::list arrays;
  for (const DeviceArray& array : state->device_arrays()) arrays.append(element(array));
  return arrays;
}

py::list to_list(const Arrays& arrays) {
  py::list list;
  for (const State::Array& array : arrays) {
    Floats values = make_array(array.shape);
    std::ranges::copy(array.values, values.mutable_data());
    list.append(values);
  }
  return list;
}

Arrays arrays_from(const py::sequence& list) {
  Arrays arrays;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const py::object item = list[i];  // which may have been made just now
    const Floats values = floats_from(item, "arrays of a state");
    arrays.push_back({"", shape_of(values), {values.data(), values.data() + values.size()}});
  }
  return arrays;
}

StatePtr from_list(const py::sequence& list, const ModelHandle& model) {
  const Arrays arrays = arrays_from(list);
  State state = model.open().new_state();
  state.assign(arrays);
  return std::make_shared<StateHandle>(std::move(state));
}

StatePtr copy(const StatePtr& self) {
  const StateLease state(self);
  const py::gil_scoped_release release;
  return std::make_shared<StateHandle>(*state);
}

bool equal(const StatePtr& a, const StatePtr& b) {
  if (a == b) return true;
  const StateLease left(a), right(b);
  return *left == *right;
}

py::tuple reduce(const StatePtr& self) {
  const StateLease state(self);
  const State::Snapshot s = state->snapshot();
  return py::make_tuple(py::module_::import("rwkvcpp._pickle").attr("state"),
                        py::make_tuple(config_tuple(s.config), s.fingerprint, s.tokens_seen, to_list(s.arrays)));
}

StatePtr restore(const ConfigTuple& config, std::uint64_t fingerprint, std::int64_t tokens_seen, const py::sequence& list) {
  return std::make_shared<StateHandle>(State({config_from(config), fingerprint, tokens_seen, arrays_from(list)}));
}

void close(const StatePtr& self) {
  if (self && !self->state) return;
  const StateLease state(self);
  self->state.reset();
}

}  // namespace

void StateHandle::require(const StateHandle* handle) {
  if (!handle) throw py::type_error("state must be a rwkvcpp.State, found None");
  if (!handle->state) throw StateError("the state is closed");
}
void StateHandle::refuse_second() {
  throw StateError("two sequences of a batch share one state, or another call is using it; copy it first");
}

void register_state(py::module_& m) {
  py::class_<StateHandle, StatePtr>(m, "State", R"(What a model remembers of a text: constant in size.

Model.new_state() makes one, forward() advances it in place, copy() forks it. It is also a sequence of float32 arrays in the
order and layout of the rwkv package: per block att_x [n_embd], then aa, bb, pp [n_att] (version 4) or S [n_head, head_size,
head_size], then ffn_x [n_embd]. An element is a view: writing to it changes the state; of layers on a card it is a DeviceArray. Not
to be touched while forward() runs in another thread; calls that get in each other's way raise StateError.

>>> model = rwkvcpp.load_demo()
>>> with model.new_state() as state:
...     logits = model.forward([10, 11, 12], state)
...     state
State(RWKV-7, 12 arrays, 202752 bytes, 3 tokens seen)
)",
                                    py::is_final(), plain_type())
      .def_static(
          "load",
          [](const std::filesystem::path& path, const ModelHandle& model) {
            const Model opened = model.open();
            const py::gil_scoped_release release;
            return std::make_shared<StateHandle>(State::load(path, opened));
          },
          py::arg("path"), py::arg("model"), R"(load(path, model)
--

Reads what save() wrote. Raises FileError, or StateError when the file is damaged or of another model.

>>> model = rwkvcpp.load_demo()
>>> model.new_state().save(path)
>>> rwkvcpp.State.load(path, model) == model.new_state()
True
)")
      .def_static("from_list", &from_list, py::arg("arrays"), py::arg("model"), R"(from_list(arrays, model)
--

The reverse of to_list(). Arrays of any number type, in order, with equal shapes; else StateError. tokens_seen is 0.

>>> model = rwkvcpp.load_demo()
>>> state = model.new_state()
>>> rwkvcpp.State.from_list(state.to_list(), model) == state
True
)")
      .def_property_readonly(
          "tokens_seen", [](const StatePtr& self) { return StateLease(self)->tokens_seen(); },
          "Tokens fed since the start of the text.")
      .def_property_readonly(
          "nbytes", [](const StatePtr& self) { return StateLease(self)->bytes(); }, "Bytes of memory it takes.")
      .def_property_readonly(
          "names", [](const StatePtr& self) { return StateLease(self)->names(); },
          R"(Of the arrays, in order: "blocks.0.att_x" ...)")
      .def_property_readonly(
          "closed", [](const StateHandle& self) { return !self.state; }, "Whether close() was called.")
      .def("copy", &copy, R"(copy(self, /)
--

A copy that goes its own way: forks the conversation. Also copy.copy() and copy.deepcopy().

>>> state = rwkvcpp.load_demo().new_state()
>>> state.copy() == state
True
)")
      .def(
          "save",
          [](const StatePtr& self, const std::filesystem::path& path) {
            const StateLease state(self);
            const py::gil_scoped_release release;
            state->save(path);
          },
          py::arg("path"), R"(save(self, path)
--

Writes a file that only its owner can read: it holds the conversation. The old file stays whole until the new one is.

>>> rwkvcpp.load_demo().new_state().save(path)
)")
      .def(
          "to_list", [](const StatePtr& self) { return to_list(StateLease(self)->arrays()); }, R"(to_list(self, /)
--

Copies of all arrays.

>>> state = rwkvcpp.load_demo().new_state()
>>> [array.shape for array in state.to_list()[:3]]
[(192,), (3, 64, 64), (192,)]
)")
      .def(
          "device_arrays",
          [](const StatePtr& self) {
            const StateLease state(self);
            py::list arrays;
            for (const DeviceArray& array : state->device_arrays()) arrays.append(hold(array));
            return arrays;
          },
          R"(device_arrays(self, /)
--

All arrays where they lie, as DeviceArray, for other libraries: no copies. Writing to them changes the state.

>>> state = rwkvcpp.load_demo().new_state()
>>> state.device_arrays()[0]
DeviceArray(shape=(192,), dtype=float32, device=cpu)
)")
      .def("close", &close, R"(close(self, /)
--

Frees the memory now. Arrays that look into it stay valid and keep it until they go.

>>> state = rwkvcpp.load_demo().new_state()
>>> state.close()
>>> state.closed
True
)")
      .def("__len__", [](const StatePtr& self) { return StateLease(self)->names().size(); })
      .def("__getitem__", &get)
      .def("__setitem__", &set)
      .def("__iter__", [](const StatePtr& self) { return py::iter(iterable(self)); })
      .def("__eq__", &equal, py::arg("other").none(false), py::is_operator())
      .def("__copy__", &copy)
      .def("__deepcopy__", [](const StatePtr& self, const py::dict&) { return copy(self); })
      .def("__reduce__", &reduce)
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](const StatePtr& self, const py::args&) { close(self); })
      .def("__repr__", [](const StatePtr& self) -> std::string {
        if (self && !self->state) return "State(closed)";
        const StateLease state(self);
        return "State(RWKV-" + std::to_string(state->config().version) + ", " + std::to_string(state->names().size()) +
               " arrays, " + std::to_string(state->bytes()) + " bytes, " + std::to_string(state->tokens_seen()) +
               " tokens seen)";
      });
  m.def("_state", &restore, "For pickle.");
}

}  // namespace rwkv::python
