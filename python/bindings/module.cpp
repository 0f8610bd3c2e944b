// SPDX-License-Identifier: Apache-2.0
// The compiled part of the package rwkvcpp. Docstrings begin with the signature that inspect.signature() shows.
#include "bindings.h"

namespace rwkv::python {

PYBIND11_MODULE(_core, m) {
  m.attr("__version__") = RWKV_VERSION;
  py::options options;
  options.disable_function_signatures();
  register_errors(m);
  register_config(m);
  register_device_array(m);
  register_state(m);
  register_model(m);
  register_tokenizer(m);
  register_sampler(m);
  register_pipeline(m);
  for (const auto& [name, object] : m.attr("__dict__").cast<py::dict>()) {
    if (PyType_Check(object.ptr())) object.attr("__module__") = "rwkvcpp";
  }
}

}  // namespace rwkv::python
