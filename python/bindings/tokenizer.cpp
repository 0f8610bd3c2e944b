// SPDX-License-Identifier: Apache-2.0
// Tokenizer, StreamDecoder.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <limits>

#include "bindings.h"
#include "tokens.h"

namespace rwkv::python {
namespace {

using Path = std::filesystem::path;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";
constexpr int kMostTokens = std::numeric_limits<int>::max();

// The package's own copy of the World vocabulary.
Path world_file() {
  return Path(py::module_::import("rwkvcpp").attr("__file__").cast<std::string>()).parent_path() / kWorldFile;
}

TokenizerHandlePtr load(const Path& vocabulary) {
  const py::gil_scoped_release release;
  return std::make_shared<TokenizerHandle>(find_vocabulary({}, kMostTokens, vocabulary));
}

}  // namespace

TokenizerHandlePtr tokenizer_for(const py::object& model, const std::optional<Path>& vocabulary) {
  Path path;
  int n_vocab = 0;
  if (py::isinstance<ModelHandle>(model)) {
    const auto& handle = model.cast<const ModelHandle&>();
    path = handle.path;
    n_vocab = handle.open().config().n_vocab;
  } else {
    path = model.cast<Path>();
    n_vocab = inspect(path).config.n_vocab;
  }
  const Path world = world_file();
  const py::gil_scoped_release release;
  try {
    return std::make_shared<TokenizerHandle>(find_vocabulary(path, n_vocab, vocabulary));
  } catch (const TokenizerError&) {
    // 65,529 ids; models are padded to 65,536.
    if (vocabulary || n_vocab < 65530 || n_vocab > 65536) throw;
    return std::make_shared<TokenizerHandle>(find_vocabulary(path, n_vocab, world));
  }
}

namespace {

// A shorter text keeps the GIL: a thread that gives it back for microseconds, again and again, also takes it back each time,
// and those that wait for it starve.
constexpr std::size_t kLongText = 4096;  // bytes

std::vector<Token> encode(const TokenizerHandle& self, const std::string& text) {
  std::optional<py::gil_scoped_release> release;
  if (text.size() >= kLongText) release.emplace();
  return self.found.tokenizer->encode(text);
}

std::string decode(const TokenizerHandle& self, py::handle tokens) { return self.found.tokenizer->decode(tokens_from(tokens)); }

py::str decode_text(const TokenizerHandle& self, py::handle tokens, const std::string& errors) {
  const std::string bytes = decode(self, tokens);
  PyObject* text = PyUnicode_DecodeUTF8(bytes.data(), std::ssize(bytes), errors.c_str());
  if (text == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(text);
}

py::tuple reduce(const TokenizerHandle& self) {
  return py::make_tuple(py::module_::import("rwkvcpp._pickle").attr("tokenizer"),
                        py::make_tuple(py::bytes(self.found.content), self.found.source));
}

TokenizerHandlePtr restore(const std::string& content, const std::string& source) {
  if (content.empty()) return load("bytes");
  return std::make_shared<TokenizerHandle>(FoundTokenizer{parse_tokenizer(content, source), source, content});
}

}  // namespace

#define RWKV_TOKENIZER_SIGNATURE "vocabulary"

#define RWKV_STREAMDECODER_SIGNATURE "tokenizer"

void register_tokenizer(py::module_& m) {
  py::class_<TokenizerHandle, TokenizerHandlePtr>(m, "Tokenizer",
                                                  "Tokenizer(" RWKV_TOKENIZER_SIGNATURE
                                                  ")\n--\n\n"
                                                  R"(Text to token ids and back. Immutable.

vocabulary: a World vocabulary or a Hugging Face tokenizer.json of the GPT-NeoX kind, told apart by content, or the word "bytes".
Raises FileError, TokenizerError. for_model() finds the one that a model needs.

>>> tokenizer = rwkvcpp.Tokenizer("bytes")
>>> tokenizer.encode("Hi")
[72, 105]
>>> tokenizer.decode([72, 105])
'Hi'
)",
                                                  py::is_final(), plain_type())
      .def(py::init(&load), py::arg("vocabulary"), "__init__(self, " RWKV_TOKENIZER_SIGNATURE ")\n--\n\n")
      .def_static("for_model", &tokenizer_for, py::arg("model"), py::arg("vocabulary") = py::none(),
                  R"(for_model(model, vocabulary=None)
--

The tokenizer of a Model, or of a checkpoint's path: the vocabulary that is named; else the one inside the checkpoint; else one
beside it that fits; else bytes for 256 outputs and World for 65,536. Raises TokenizerError when there is none.

>>> rwkvcpp.Tokenizer.for_model(rwkvcpp.load_demo()).encode("Once upon a time")
[817, 584, 270, 382]
)")
      .def_property_readonly(
          "kind", [](const TokenizerHandle& self) { return self.found.tokenizer->kind(); }, R"("world", "bpe" or "bytes".)")
      .def_property_readonly(
          "source", [](const TokenizerHandle& self) { return self.found.source; }, "Where it came from.")
      .def("encode", &encode, py::arg("text"), R"(encode(self, text)
--

Token ids of a str, or of bytes that need not be UTF-8.

>>> rwkvcpp.Tokenizer("bytes").encode(b"\xff")
[255]
)")
      .def("decode", &decode_text, py::arg("tokens"), py::arg("errors") = "replace", R"(decode(self, tokens, errors='replace')
--

The text of tokens. Bytes that are not UTF-8 become U+FFFD; errors is that of bytes.decode(). Ids without an entry have no text.

>>> rwkvcpp.Tokenizer("bytes").decode(range(65, 70))
'ABCDE'
)")
      .def(
          "decode_bytes", [](const TokenizerHandle& self, py::handle tokens) { return py::bytes(decode(self, tokens)); },
          py::arg("tokens"), R"(decode_bytes(self, tokens)
--

The exact bytes of tokens.

>>> rwkvcpp.Tokenizer("bytes").decode_bytes([72, 255])
b'H\xff'
)")
      .def(
          "stream_decoder", [](const TokenizerHandle& self) { return hold(StreamDecoder(self.found.tokenizer)); },
          R"(stream_decoder(self, /)
--

Joins tokens to text one by one; see StreamDecoder.

>>> decoder = rwkvcpp.Tokenizer("bytes").stream_decoder()
>>> decoder.push(0xC3), decoder.push(0xA9)
('', 'é')
)")
      .def("__len__", [](const TokenizerHandle& self) { return self.found.tokenizer->size(); })
      .def("__reduce__", &reduce)
      .def("__repr__", [](const TokenizerHandle& self) {
        return "Tokenizer(" + std::string(self.found.tokenizer->kind()) + ", " + std::to_string(self.found.tokenizer->size()) +
               " ids, " + self.found.source + ")";
      });
  m.def("_tokenizer", &restore, "For pickle.");

  py::class_<Held<StreamDecoder>, std::shared_ptr<Held<StreamDecoder>>> decoder(
      m, "StreamDecoder",
      "StreamDecoder(" RWKV_STREAMDECODER_SIGNATURE
      ")\n--\n\n"
      R"(Joins tokens to text piece by piece and holds a character back only as long as its bytes are incomplete.

>>> decoder = rwkvcpp.StreamDecoder(rwkvcpp.Tokenizer("bytes"))
>>> decoder.push(72)
'H'
)",
      py::is_final(), plain_type());
  decoder
      .def(py::init([](const TokenizerHandle& tokenizer) { return hold(StreamDecoder(tokenizer.found.tokenizer)); }),
           py::arg("tokenizer"), "__init__(self, " RWKV_STREAMDECODER_SIGNATURE ")\n--\n\n")
      .def(
          "push", [](Held<StreamDecoder>& self, py::handle token) { return self.push(token_from(token)); }, py::arg("token"),
          R"(push(self, token)
--

The text that is complete with this token; bytes that can never become valid UTF-8 become U+FFFD.

>>> rwkvcpp.StreamDecoder(rwkvcpp.Tokenizer("bytes")).push(72)
'H'
)")
      .def(
          "flush", [](Held<StreamDecoder>& self) { return self.flush(); }, R"(flush(self, /)
--

What is still held back, as U+FFFD; empty if nothing is.

>>> rwkvcpp.StreamDecoder(rwkvcpp.Tokenizer("bytes")).flush()
''
)");
  refuse_pickle(decoder);
}

}  // namespace rwkv::python
