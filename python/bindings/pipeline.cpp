// SPDX-License-Identifier: Apache-2.0
// Pipeline, Stream, refine_context().
#include <pybind11/stl.h>

#include <utility>

#include "arrays.h"
#include "interrupt.h"
#include "sampling_options.h"
#include "tokens.h"

namespace rwkv::python {
namespace {

struct PipelineHandle : Constructed {
  PipelineHandle(std::shared_ptr<ModelHandle> m, TokenizerHandlePtr t) : model(std::move(m)), tokenizer(std::move(t)) {}

  std::shared_ptr<ModelHandle> model;
  TokenizerHandlePtr tokenizer;

  [[nodiscard]] Pipeline open() const { return Pipeline(model->open(), tokenizer->found.tokenizer); }
};

// A text being generated. Nothing runs between two calls, so it can be left at any time.
class Stream : public Constructed {
 public:
  Stream(Generation generation, StatePtr state)
      : generation_(std::move(generation)), state_(std::move(state)), memory_(state_->state) {}

  // The next piece; nothing when the text has ended.
  std::optional<std::string> next() {
    const StateLease lease(state_);
    const Look look(*this);  // after `release`: with the GIL
    const py::gil_scoped_release release;
    while (generation_ && going_on_ && !failed_) {
      failed_ = true;  // unless step() returns
      going_on_ = generation_->step();
      failed_ = false;
      if (std::string piece = generation_->result().text.substr(given_); !piece.empty()) {
        given_ += piece.size();
        return piece;
      }
    }
    return {};
  }

  std::string rest() {
    std::string text;
    while (auto piece = next()) text += *piece;
    return text;
  }

  void close() {
    std::optional<StateLease> lease;  // another thread may be in next()
    if (state_->state) lease.emplace(state_);
    generation_.reset();
  }

  // Why it ended; nothing while it goes on, after close() and after an error.
  [[nodiscard]] std::optional<std::string> reason() const {
    if (!ended_) return {};
    switch (seen_.reason) {
      case StopReason::token:
        return "token";
      case StopReason::string:
        return "string";
      case StopReason::max_tokens:
      case StopReason::callback:
        break;
    }
    return "max_tokens";
  }

  // As of the last piece: another thread may be at work on the next.
  [[nodiscard]] const Generated& seen() const { return seen_; }
  [[nodiscard]] const StatePtr& state() const { return state_; }

 private:
  // Takes over what a step has added.
  struct Look {
    explicit Look(Stream& s) : stream(s) {}
    ~Look() {
      if (!stream.generation_) return;
      const Generated& now = stream.generation_->result();
      Generated& seen = stream.seen_;
      seen.text.append(now.text, seen.text.size());
      seen.tokens.insert(seen.tokens.end(), now.tokens.begin() + std::ssize(seen.tokens), now.tokens.end());
      seen.prompt_tokens = now.prompt_tokens;
      seen.fed_tokens = now.fed_tokens;
      seen.reason = now.reason;
      seen.stop = now.stop;
      stream.ended_ = !stream.going_on_ && !stream.failed_;
    }
    Stream& stream;
  };

  std::optional<Generation> generation_;
  Generated seen_;
  StatePtr state_;
  std::shared_ptr<State> memory_;  // what the generation refers to, if the state is closed meanwhile
  std::size_t given_ = 0;          // bytes of the text
  bool going_on_ = true, failed_ = false, ended_ = false;
};

std::vector<std::string> stops_from(const py::object& stop) {
  if (py::isinstance<py::str>(stop)) return {stop.cast<std::string>()};
  try {
    return stop.cast<std::vector<std::string>>();
  } catch (const py::cast_error&) {
    throw py::type_error("stop must be a str, or a list or tuple of str");
  }
}

std::shared_ptr<Stream> start(const PipelineHandle& self, const std::string& prompt, int max_tokens, const py::object& state,
                              float temperature, float top_p, int top_k, float min_p, double alpha_presence,
                              double alpha_frequency, double alpha_decay, py::handle token_ban, py::handle token_stop,
                              const py::object& stop, py::handle seed, int chunk_len) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampling =
      sampling_options(temperature, top_p, top_k, min_p, alpha_presence, alpha_frequency, alpha_decay, token_ban, seed);
  options.token_stop = tokens_from(token_stop);
  options.stop = stops_from(stop);
  options.chunk_len = chunk_len;
  options.poll = poll_signals();
  const Pipeline pipeline = self.open();
  StatePtr used = state.is_none() ? std::make_shared<StateHandle>(pipeline.model().new_state()) : state.cast<StatePtr>();
  const StateLease lease(used);
  return std::make_shared<Stream>(pipeline.start(prompt, *lease, options), used);
}

std::string generate(const PipelineHandle& self, const std::string& prompt, int max_tokens, const py::object& state,
                     float temperature, float top_p, int top_k, float min_p, double alpha_presence, double alpha_frequency,
                     double alpha_decay, py::handle token_ban, py::handle token_stop, const py::object& stop, py::handle seed,
                     int chunk_len) {
  return start(self, prompt, max_tokens, state, temperature, top_p, top_k, min_p, alpha_presence, alpha_frequency, alpha_decay,
               token_ban, token_stop, stop, seed, chunk_len)
      ->rest();
}

Floats read(const PipelineHandle& self, const std::string& text, const StatePtr& state, int chunk_len) {
  GenerateOptions options;
  options.chunk_len = chunk_len;
  options.poll = poll_signals();
  const Pipeline pipeline = self.open();
  const StateLease lease(state);
  std::vector<float> logits;
  {
    const py::gil_scoped_release release;
    logits = pipeline.read(text, *lease, options);
  }
  Floats array = make_array({std::ssize(logits)});
  std::ranges::copy(logits, array.mutable_data());
  return array;
}

// Signature of generate() and stream().
#define RWKV_GENERATE_SIGNATURE                                                                                         \
  "(self, prompt, max_tokens=100, *, state=None, temperature=1.0, top_p=0.85, top_k=0, min_p=0.0, alpha_presence=0.2, " \
  "alpha_frequency=0.2, alpha_decay=0.996, token_ban=(), token_stop=(), stop=(), seed=None, chunk_len=256)\n--\n\n"

template <class Class, class Function>
void def_generate(Class& pipeline, const char* name, Function function, const char* doc) {
  pipeline.def(name, function, py::arg("prompt"), py::arg("max_tokens") = 100, py::kw_only(), py::arg("state") = py::none(),
               RWKV_SAMPLING_ARGUMENTS, py::arg("token_ban") = py::tuple(), py::arg("token_stop") = py::tuple(),
               py::arg("stop") = py::tuple(), py::arg("seed") = py::none(), py::arg("chunk_len") = 256, doc);
}

void register_stream(py::module_& m) {
  py::class_<Stream, std::shared_ptr<Stream>> stream(m, "Stream",
                                                     R"(The pieces of a text that is being generated; see Pipeline.stream().

Work is done only while a piece is asked for: an abandoned stream costs nothing, and its state is behind the last token that was
fed. After an error it has ended.

>>> pipeline = rwkvcpp.Pipeline(rwkvcpp.load_demo())
>>> with pipeline.stream("User: What is 7 plus 8?\n\nAssistant:", temperature=0, stop="\n\n") as stream:
...     for piece in stream:
...         print(piece, end="|")
...     stream.reason
 |7| plus| |8| is| |1|5|.|'string'
)",
                                                     py::is_final(), plain_type());
  stream
      .def_property_readonly(
          "text", [](const Stream& s) { return s.seen().text; }, "All pieces so far.")
      .def_property_readonly(
          "tokens", [](const Stream& s) { return s.seen().tokens; },
          "Generated so far; without the stop token, with those of a stop string.")
      .def_property_readonly(
          "fed_tokens", [](const Stream& s) { return s.seen().fed_tokens; },
          "How many of tokens the state has seen: feed it the others to go on from exactly here.")
      .def_property_readonly(
          "prompt_tokens", [](const Stream& s) { return s.seen().prompt_tokens; }, "Of the prompt, once read.")
      .def_property_readonly(
          "reason", [](const Stream& s) { return s.reason(); },
          R"(Why the text ended: "max_tokens", "token" or "string"; None if it did not.)")
      .def_property_readonly(
          "stop", [](const Stream& s) { return s.seen().stop; }, "The stop string that was met, or ''.")
      .def_property_readonly(
          "state", [](const Stream& s) { return s.state(); }, "The state it advances.")
      .def(
          "close", [](Stream& self) { self.close(); }, R"(close(self, /)
--

Ends it.

>>> rwkvcpp.Pipeline(rwkvcpp.load_demo()).stream("Once").close()
)")
      .def("__iter__", [](py::object self) { return self; })
      .def("__next__",
           [](Stream& self) {
             auto piece = self.next();
             if (!piece) throw py::stop_iteration();
             return *std::move(piece);
           })
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](Stream& self, const py::args&) { self.close(); });
  refuse_pickle(stream);
}

}  // namespace

#define RWKV_PIPELINE_SIGNATURE "model, tokenizer=None"

void register_pipeline(py::module_& m) {
  register_stream(m);
  py::class_<PipelineHandle, std::shared_ptr<PipelineHandle>> pipeline(
      m, "Pipeline",
      "Pipeline(" RWKV_PIPELINE_SIGNATURE
      ")\n--\n\n"
      R"(Text in, text out: a model, its tokenizer (None: the one that Tokenizer.for_model() finds) and a sampler.

>>> pipeline = rwkvcpp.Pipeline(rwkvcpp.load_demo())
>>> pipeline.generate("User: What is 2 plus 2?\n\nAssistant:", temperature=0, stop="\n\n")
' 2 plus 2 is 4.'
)",
      py::is_final(), plain_type());
  pipeline
      .def(py::init([](std::shared_ptr<ModelHandle> model, TokenizerHandlePtr tokenizer) {
             if (!tokenizer) tokenizer = tokenizer_for(py::cast(model), {});
             return std::make_shared<PipelineHandle>(std::move(model), std::move(tokenizer));
           }),
           py::arg("model").none(false), py::arg("tokenizer") = py::none(),
           "__init__(self, " RWKV_PIPELINE_SIGNATURE ")\n--\n\n")
      .def_readonly("model", &PipelineHandle::model, "Its model.")
      .def_readonly("tokenizer", &PipelineHandle::tokenizer, "Its tokenizer.")
      .def("__reduce__",
           [](const py::object& self) {
             return py::make_tuple(py::type::of(self), py::make_tuple(self.attr("model"), self.attr("tokenizer")));
           })
      .def("read", &read, py::arg("text"), py::arg("state"), py::arg("chunk_len") = 256,
           R"(read(self, text, state, chunk_len=256)
--

Feeds a text to a state without generating; returns the logits after it, [n_vocab]. Memory does not grow with the text.

>>> pipeline = rwkvcpp.Pipeline(rwkvcpp.load_demo())
>>> state = pipeline.model.new_state()
>>> pipeline.read("Once upon a time", state).shape
(1024,)
)");
  def_generate(pipeline, "generate", &generate, "generate" RWKV_GENERATE_SIGNATURE R"(Continues a prompt; returns the new text.

state: None starts a text; else it is advanced by the prompt and all generated tokens but the last.
temperature ... alpha_decay, token_ban, seed: see Sampler; the seed of None is the system's entropy.
token_stop: tokens that end the text; they are not part of it. stop: a string, or several, that the text ends in front of.
chunk_len: tokens of the prompt fed at once; does not change the result.

Raises ArgumentError and TokenError before the state is touched. Ctrl-C leaves the state behind the last token that was fed.

>>> pipeline = rwkvcpp.Pipeline(rwkvcpp.load_demo())
>>> pipeline.generate("Once upon a time", 8, seed=1) == pipeline.generate("Once upon a time", 8, seed=1)
True
)");
  def_generate(
      pipeline, "stream", &start,
      "stream" RWKV_GENERATE_SIGNATURE
      R"(As generate(), but returns an iterator of pieces of text as soon as they are certain. They are valid text: a character is never cut.

>>> pipeline = rwkvcpp.Pipeline(rwkvcpp.load_demo())
>>> "".join(pipeline.stream("Once upon a time", 8, seed=1)) == pipeline.generate("Once upon a time", 8, seed=1)
True
)");

  m.def("refine_context", &refine_context, py::arg("text"), R"(refine_context(text)
--

The rwkv package's clean-up of a prompt: lines trimmed, empty ones dropped, a newline in front.

>>> rwkvcpp.refine_context("  a \n\n b")
'\na\nb'
)");
}

}  // namespace rwkv::python
