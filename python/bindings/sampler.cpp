// SPDX-License-Identifier: Apache-2.0
// Sampler, sampling_distribution().
#include <pybind11/stl.h>

#include "arrays.h"
#include "sampling_options.h"
#include "tokens.h"

namespace rwkv::python {
namespace {

std::optional<std::uint64_t> seed_from(py::handle seed) {
  if (seed.is_none()) return {};
  const auto integer = py::reinterpret_steal<py::object>(PyNumber_Index(seed.ptr()));
  if (!integer) throw py::error_already_set();
  const std::uint64_t value = PyLong_AsUnsignedLongLong(integer.ptr());
  if (value == ~std::uint64_t{0} && PyErr_Occurred()) {
    PyErr_Clear();
    throw ArgumentError("seed is " + std::string(py::str(integer)) + "; it must be 0 to 2^64 - 1");
  }
  return value;
}

std::vector<float> logits_from(py::handle object) {
  const Floats logits = floats_from(object, "logits");
  if (logits.ndim() != 1) throw ArgumentError("logits must have one dimension, found " + std::to_string(logits.ndim()));
  return {logits.data(), logits.data() + logits.size()};
}

SamplerPtr make(float temperature, float top_p, int top_k, float min_p, double alpha_presence, double alpha_frequency,
                double alpha_decay, py::handle token_ban, py::handle seed) {
  return std::make_shared<SamplerHandle>(
      sampling_options(temperature, top_p, top_k, min_p, alpha_presence, alpha_frequency, alpha_decay, token_ban, seed));
}

Floats distribution(py::handle object, float temperature, float top_p, int top_k, float min_p) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_p = top_p;
  options.top_k = top_k;
  options.min_p = min_p;
  const std::vector<float> probabilities = sampling_distribution(logits_from(object), options);
  Floats array = make_array({std::ssize(probabilities)});
  std::ranges::copy(probabilities, array.mutable_data());
  return array;
}

}  // namespace

void SamplerHandle::require(const SamplerHandle* handle) {
  if (!handle) throw py::type_error("sampler must be a rwkvcpp.Sampler, found None");
}
void SamplerHandle::refuse_second() {
  throw ArgumentError(
      "two sequences of a batch share one sampler, or another call is using it; give each a sampler of its own");
}

SamplingOptions sampling_options(float temperature, float top_p, int top_k, float min_p, double alpha_presence,
                                 double alpha_frequency, double alpha_decay, py::handle token_ban, py::handle seed) {
  return {.temperature = temperature,
          .top_p = top_p,
          .top_k = top_k,
          .min_p = min_p,
          .alpha_presence = alpha_presence,
          .alpha_frequency = alpha_frequency,
          .alpha_decay = alpha_decay,
          .token_ban = tokens_from(token_ban),
          .seed = seed_from(seed)};
}

#define RWKV_SAMPLER_SIGNATURE                                                                                       \
  "*, temperature=1.0, top_p=0.85, top_k=0, min_p=0.0, alpha_presence=0.2, alpha_frequency=0.2, alpha_decay=0.996, " \
  "token_ban=(), seed=None"

void register_sampler(py::module_& m) {
  py::class_<SamplerHandle, SamplerPtr> sampler(
      m, "Sampler",
      "Sampler(" RWKV_SAMPLER_SIGNATURE
      ")\n--\n\n"
      R"(From logits to the next token: bans, penalties for what was drawn before, cuts, temperature, a seeded draw. The rules and the
defaults are those of the rwkv package; temperature=0 is greedy, top_p=1 and top_k=0 are off. One per text.

Raises ArgumentError for a value outside its range, and for a call while another one, of Model.forward_batch() in another thread,
draws with it.

>>> sampler = rwkvcpp.Sampler(temperature=0)
>>> sampler.sample([0.0, 2.0, 1.0])
1
)",
      py::is_final(), plain_type());
  sampler
      .def(py::init(&make), py::kw_only(), RWKV_SAMPLING_ARGUMENTS, py::arg("token_ban") = py::tuple(),
           py::arg("seed") = py::none(), "__init__(self, " RWKV_SAMPLER_SIGNATURE ")\n--\n\n")
      .def(
          "sample",
          [](const SamplerPtr& self, py::handle logits) {
            std::vector<float> values = logits_from(logits);
            return SamplerLease(self)->sample(values);
          },
          py::arg("logits"), R"(sample(self, logits)
--

Draws a token. logits, [n_vocab], stay as they are. The token is not counted: call accept().
Raises NumericError for NaN or infinity and when no token is left.

>>> rwkvcpp.Sampler(seed=1).sample([1.0, 50.0])
1
)")
      .def(
          "accept",
          [](const SamplerPtr& self, py::handle token, bool counts) {
            const Token id = token_from(token);
            SamplerLease(self)->accept(id, counts);
          },
          py::arg("token"), py::arg("counts") = true, R"(accept(self, token, counts=True)
--

Notes that a token was drawn: decays all counts, then counts it. counts=False, for blanks and digits, gives it the presence
penalty only.

>>> rwkvcpp.Sampler().accept(5)
)")
      .def(
          "reset", [](const SamplerPtr& self) { SamplerLease(self)->reset(); }, R"(reset(self, /)
--

Forgets what was drawn; the random sequence goes on.

>>> rwkvcpp.Sampler().reset()
)")
      .def("__repr__", [](const SamplerHandle& self) {
        const SamplingOptions& o = self.sampler.options();
        return "Sampler(temperature=" + std::string(py::repr(py::float_(o.temperature))) +
               ", top_p=" + std::string(py::repr(py::float_(o.top_p))) + ", top_k=" + std::to_string(o.top_k) + ")";
      });
  refuse_pickle(sampler);
  m.def("sampling_distribution", &distribution, py::arg("logits"), py::kw_only(), py::arg("temperature") = 1.0f,
        py::arg("top_p") = 0.85f, py::arg("top_k") = 0, py::arg("min_p") = 0.0f,
        R"(sampling_distribution(logits, *, temperature=1.0, top_p=0.85, top_k=0, min_p=0.0)
--

The probabilities, float32 [n_vocab], that a token is drawn from after all cuts.

>>> rwkvcpp.sampling_distribution([0.0, 0.0, -200.0], top_p=1).tolist()
[0.5, 0.5, 0.0]
)");
}

}  // namespace rwkv::python
