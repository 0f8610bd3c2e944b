// SPDX-License-Identifier: Apache-2.0
// ModelConfig, CheckpointInfo, inspect().
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <sstream>

#include "bindings.h"

namespace rwkv::python {
namespace {

std::string version_of(const ModelConfig& c) {
  return std::to_string(c.version) + (c.version == 5 ? "." + std::to_string(c.minor) : "");
}

std::string describe(const ModelConfig& c) {
  std::ostringstream text;
  text << "ModelConfig(RWKV-" << version_of(c) << ", n_layer=" << c.n_layer << ", n_embd=" << c.n_embd << ", n_att=" << c.n_att
       << ", n_ffn=" << c.n_ffn << ", n_vocab=" << c.n_vocab << ", n_head=" << c.n_head << ", head_size=" << c.head_size << ")";
  return text.str();
}

std::string describe(const CheckpointInfo& info) {
  std::ostringstream text;
  text << "CheckpointInfo(RWKV-" << version_of(info.config) << ", " << info.parameters << " parameters, " << info.type << ", "
       << info.format << ")";
  return text.str();
}

}  // namespace

ConfigTuple config_tuple(const ModelConfig& c) {
  return {c.version, c.minor, c.n_layer, c.n_embd, c.n_att, c.n_ffn, c.n_vocab, c.n_head, c.head_size, c.head_norm_eps};
}

ModelConfig config_from(const ConfigTuple& t) {
  ModelConfig c;
  std::tie(c.version, c.minor, c.n_layer, c.n_embd, c.n_att, c.n_ffn, c.n_vocab, c.n_head, c.head_size, c.head_norm_eps) = t;
  return c;
}

void register_config(py::module_& m) {
  py::class_<ModelConfig>(m, "ModelConfig", R"(The sizes of a model.

>>> rwkvcpp.load_demo().config
ModelConfig(RWKV-7, n_layer=4, n_embd=192, n_att=192, n_ffn=768, n_vocab=1024, n_head=3, head_size=64)
)",
                          py::is_final(), plain_type())
      .def_readonly("version", &ModelConfig::version, "4, 5, 6 or 7.")
      .def_readonly("minor", &ModelConfig::minor, "Of version 5: 0, 1 or 2; else 0.")
      .def_readonly("n_layer", &ModelConfig::n_layer, "Blocks.")
      .def_readonly("n_embd", &ModelConfig::n_embd, "Width of the residual stream.")
      .def_readonly("n_att", &ModelConfig::n_att, "Width of the time mix; n_embd in all published models.")
      .def_readonly("n_ffn", &ModelConfig::n_ffn, "Width of the channel mix.")
      .def_readonly("n_vocab", &ModelConfig::n_vocab, "Logits.")
      .def_readonly("n_head", &ModelConfig::n_head, "Heads; 0 for version 4.")
      .def_readonly("head_size", &ModelConfig::head_size, "Width of a head; 0 for version 4.")
      .def_readonly("head_norm_eps", &ModelConfig::head_norm_eps, "Epsilon of the head norm of versions 5 to 7.")
      .def(
          "__eq__", [](const ModelConfig& a, const ModelConfig& b) { return a == b; }, py::is_operator())
      .def("__hash__", [](const ModelConfig& c) { return py::hash(py::str(describe(c))); })
      .def("__reduce__",
           [](const ModelConfig& c) {
             return py::make_tuple(py::module_::import("rwkvcpp._pickle").attr("config"), py::make_tuple(config_tuple(c)));
           })
      .def("__repr__", [](const ModelConfig& c) { return describe(c); });

  py::class_<Held<CheckpointInfo>, std::shared_ptr<Held<CheckpointInfo>>> info(
      m, "CheckpointInfo", "What a checkpoint holds; see inspect().", py::is_final(), plain_type());
  info.def_readonly("config", &CheckpointInfo::config, "The model's sizes.")
      .def_readonly("format", &CheckpointInfo::format, R"doc("pth (zip)", "pth (legacy)" or "safetensors".)doc")
      .def_readonly("type", &CheckpointInfo::type, R"(Of the matrices as stored: "bf16" for example, or "mixed".)")
      .def_readonly("parameters", &CheckpointInfo::parameters, "Number of weights.")
      .def_readonly("bytes", &CheckpointInfo::bytes, "Of all tensors as stored.")
      .def_readonly("has_tokenizer", &CheckpointInfo::has_tokenizer, "Whether a vocabulary is inside the file.")
      .def_readonly("unused_tensors", &CheckpointInfo::unused_tensors, "Tensors that the version has no use for.")
      .def("__repr__", [](const Held<CheckpointInfo>& self) { return describe(self); });
  refuse_pickle(info);

  m.def("_config", &config_from, "For pickle.");
  m.def(
      "inspect",
      [](const std::filesystem::path& path) {
        const py::gil_scoped_release release;
        return hold(inspect(path));
      },
      py::arg("path"), R"(inspect(path)
--

What a checkpoint holds, read without its weights. Raises as Model does.

>>> rwkvcpp.inspect(rwkvcpp.DEMO_MODEL)
CheckpointInfo(RWKV-7, 2411328 parameters, fp16, safetensors)
)");
}

}  // namespace rwkv::python
