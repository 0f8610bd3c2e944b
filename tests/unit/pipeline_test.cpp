// SPDX-License-Identifier: Apache-2.0
// The generation loop, driven by a script instead of a model.
#include <rwkv/pipeline.h>

#include <array>
#include <limits>
#include <stdexcept>

#include "generate_loop.h"
#include "json.h"
#include "test_data.h"

namespace rwkv {
namespace {

// A token is a byte, id 0 has no entry, ids from 256 are "12", "21", " \t".
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(std::string kind = "world") : kind_(std::move(kind)) {
    for (std::size_t i = 0; i < 256; ++i) bytes_[i] = static_cast<char>(i);
  }
  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> out;
    for (const char c : text) out.push_back(static_cast<unsigned char>(c));
    return out;
  }
  std::string_view bytes(Token id) const noexcept override {
    constexpr std::array<std::string_view, 3> kLonger = {"12", "21", " \t"};
    if (id == 0) return {};
    return id < 256 ? std::string_view(&bytes_[static_cast<std::size_t>(id)], 1) : kLonger[static_cast<std::size_t>(id) - 256];
  }
  int size() const noexcept override { return kVocab; }
  std::string_view kind() const noexcept override { return kind_; }

  static constexpr int kVocab = 259;

 private:
  std::string kind_;
  std::array<char, 256> bytes_{};
};

Generated generate_all(LogitSource source, TokenizerPtr tokenizer, std::span<const Token> prompt,
                       const GenerateOptions& options) {
  GenerateLoop loop(std::move(source), std::move(tokenizer), {prompt.begin(), prompt.end()}, options);
  while (loop.step()) {
  }
  return loop.result();
}

// Wants the tokens of a script one after the other, each logit 10; remembers what was fed.
struct Script {
  explicit Script(std::vector<Token> tokens) : wanted(std::move(tokens)) {}
  explicit Script(std::string_view text) : Script(ByteTokenizer().encode(text)) {}

  LogitSource source() {
    return {ByteTokenizer::kVocab, [this](std::span<const Token> tokens, std::span<float> logits) {
              fed.emplace_back(tokens.begin(), tokens.end());
              if (logits.empty()) return;
              std::fill(logits.begin(), logits.end(), 0.0f);
              logits[static_cast<std::size_t>(wanted.at(next++))] = 10;
              given.push_back(logits.data());
            }};
  }
  Generated run(const GenerateOptions& options, std::string_view prompt = "p", const std::string& kind = "world") {
    const auto tokenizer = std::make_shared<ByteTokenizer>(kind);
    return generate_all(source(), tokenizer, tokenizer->encode(prompt), options);
  }

  std::vector<Token> wanted;
  std::size_t next = 0;
  std::vector<std::vector<Token>> fed;
  std::vector<float*> given;
};

// Greedy, without penalties.
GenerateOptions plain(int max_tokens) {
  GenerateOptions o;
  o.max_tokens = max_tokens;
  o.sampling.temperature = 0;
  o.sampling.alpha_presence = o.sampling.alpha_frequency = 0;
  return o;
}

using Fed = std::vector<std::vector<Token>>;

TEST(Pipeline, LastTokenIsOutputButNotFed) {
  Script script("abc");
  const Generated g = script.run(plain(3));
  EXPECT_EQ(g.text, "abc");
  EXPECT_EQ(g.tokens, (std::vector<Token>{'a', 'b', 'c'}));
  EXPECT_EQ(script.fed, (Fed{{'p'}, {'a'}, {'b'}}));
  EXPECT_EQ(g.prompt_tokens, 1);
  EXPECT_EQ(g.fed_tokens, 2);
  EXPECT_EQ(g.reason, StopReason::max_tokens);
}

TEST(Pipeline, PromptIsFedInChunks) {
  Script script("x");
  GenerateOptions o = plain(1);
  o.chunk_len = 2;
  std::vector<std::int64_t> done;
  o.on_prompt = [&](std::int64_t n, std::int64_t total) { return done.push_back(n), total == 5; };
  EXPECT_EQ(script.run(o, "abcde").prompt_tokens, 5);
  EXPECT_EQ(script.fed, (Fed{{'a', 'b'}, {'c', 'd'}, {'e'}}));
  EXPECT_EQ(script.next, 1u);  // logits were asked for once
  EXPECT_EQ(done, (std::vector<std::int64_t>{2, 4, 5}));
}

TEST(Pipeline, OnPromptCanStop) {
  for (const std::int64_t at : {2, 4, 5}) {
    Script script("x");
    GenerateOptions o = plain(1);
    o.chunk_len = 2;
    o.on_prompt = [&](std::int64_t done, std::int64_t) { return done < at; };
    const Generated g = script.run(o, "abcde");
    EXPECT_EQ(g.prompt_tokens, at);
    EXPECT_EQ(g.reason, StopReason::callback);
    EXPECT_TRUE(g.tokens.empty());
  }
}

TEST(Pipeline, ZeroTokensReadsThePromptOnly) {
  Script script("");
  const Generated g = script.run(plain(0), "ab");
  EXPECT_EQ(script.fed, (Fed{{'a', 'b'}}));
  EXPECT_EQ(g.prompt_tokens, 2);
  EXPECT_EQ(g.text, "");
  EXPECT_EQ(g.reason, StopReason::max_tokens);
}

TEST(Pipeline, StopTokenIsNeitherOutputNorFed) {
  Script script("ab.");
  GenerateOptions o = plain(10);
  o.token_stop = {'.'};
  const Generated g = script.run(o);
  EXPECT_EQ(g.text, "ab");
  EXPECT_EQ(g.tokens, (std::vector<Token>{'a', 'b'}));
  EXPECT_EQ(g.fed_tokens, 2);
  EXPECT_EQ(g.reason, StopReason::token);
}

TEST(Pipeline, StopStringEndsTheTextInFrontOfIt) {
  Script script("Hi.\nUser: never");
  GenerateOptions o = plain(100);
  o.stop = {"\nUser:"};
  std::string pieces;
  o.on_text = [&](std::string_view piece) { return pieces += "[" + std::string(piece) + "]", true; };
  const Generated g = script.run(o);
  EXPECT_EQ(g.text, "Hi.");
  EXPECT_EQ(pieces, "[H][i][.]");
  EXPECT_EQ(g.reason, StopReason::string);
  EXPECT_EQ(g.stop, "\nUser:");
  EXPECT_EQ(g.tokens.size(), 9u);
  EXPECT_EQ(g.fed_tokens, 8);
}

TEST(Pipeline, HeldBackBeginningOfAStopStringComesWithTheEnd) {
  Script script("Hi\nU");
  GenerateOptions o = plain(4);
  o.stop = {"\nUser:"};
  EXPECT_EQ(script.run(o).text, "Hi\nU");
}

TEST(Pipeline, PiecesAreWholeCharacters) {
  Script script("a\u00e9\U0001F642b");
  GenerateOptions o = plain(8);
  std::vector<std::string> pieces;
  o.on_text = [&](std::string_view piece) { return pieces.emplace_back(piece), true; };
  EXPECT_EQ(script.run(o).text, "a\u00e9\U0001F642b");
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", "\u00e9", "\U0001F642", "b"}));
}

TEST(Pipeline, IncompleteCharacterAtTheEndIsReplaced) {
  Script script("a\U0001F642");
  const Generated g = script.run(plain(3));
  EXPECT_EQ(g.text, "a\ufffd");
  EXPECT_EQ(g.tokens.size(), 3u);
}

TEST(Pipeline, IdsWithoutAnEntryDoNotBlockTheText) {
  Script script(std::vector<Token>{'a', 0, 'b', 0xff, 'c'});
  EXPECT_EQ(script.run(plain(5)).text, "ab\ufffdc");
}

TEST(Pipeline, OnTokenCanStopTokensWithoutText) {
  Script script("\xe4\xbd\xe4\xbd");  // two beginnings of a character: no text yet after the first two
  GenerateOptions o = plain(10);
  int tokens = 0;
  o.on_token = [&](Token) { return ++tokens < 2; };
  const Generated g = script.run(o);
  EXPECT_EQ(g.reason, StopReason::callback);
  EXPECT_EQ(g.text, "");
  EXPECT_EQ(g.tokens.size(), 2u);
}

TEST(Pipeline, OnTextCanStop) {
  Script script("abc");
  GenerateOptions o = plain(10);
  o.on_text = [](std::string_view piece) { return piece != "b"; };
  const Generated g = script.run(o);
  EXPECT_EQ(g.text, "ab");
  EXPECT_EQ(g.reason, StopReason::callback);
  EXPECT_EQ(script.fed, (Fed{{'p'}, {'a'}}));
}

TEST(Pipeline, ExceptionOfACallbackLeavesTheStateAtATokenBoundary) {
  Script script("abc");
  GenerateOptions o = plain(10);
  o.on_text = [](std::string_view piece) -> bool { return piece == "b" ? throw std::runtime_error("enough") : true; };
  EXPECT_THROW((void)script.run(o), std::runtime_error);
  EXPECT_EQ(script.fed, (Fed{{'p'}, {'a'}}));
}

// What the penalties subtract from `token` two tokens after it was generated, with presence 1, frequency 4, decay 0.5.
float penalty_of(Token token, const std::string& kind = "world") {
  Script script(std::vector<Token>{token, 'x', 'y'});
  float seen = 0;
  LogitSource source = script.source();
  std::vector<float> last;
  GenerateOptions o = plain(3);
  o.sampling.alpha_presence = 1, o.sampling.alpha_frequency = 4, o.sampling.alpha_decay = 0.5;
  o.on_text = [&](std::string_view piece) {
    if (piece == "y") seen = script.given.back()[token];  // the sampler works in place
    return true;
  };
  const auto tokenizer = std::make_shared<ByteTokenizer>(kind);
  const std::vector<Token> prompt = {'p'};
  (void)generate_all(source, tokenizer, prompt, o);
  return -seen;
}

TEST(Pipeline, PenaltiesDecayWithEveryToken) { EXPECT_EQ(penalty_of('w'), 1 + 4 * 0.5f); }

TEST(Pipeline, PromptTokensAreNotPenalised) {
  Script script("y");
  GenerateOptions o = plain(1);
  o.sampling.alpha_presence = 50;
  float seen = -1;
  o.on_text = [&](std::string_view) { return seen = script.given.back()['p'], true; };
  (void)script.run(o);
  EXPECT_EQ(seen, 0);
}

TEST(Pipeline, BlanksAndDigitsGetThePresencePenaltyOnly) {
  for (const Token token : {Token{' '}, Token{'\t'}, Token{'7'}, Token{256}, Token{258}})
    EXPECT_EQ(penalty_of(token), 1) << token;
  EXPECT_EQ(penalty_of(257), 3);  // "21" is not a substring of " \t0123456789"
  EXPECT_EQ(penalty_of('\n'), 3);
}

TEST(Pipeline, IdsWithoutAnEntryCountAsInTheReference) {
  EXPECT_EQ(penalty_of(0, "world"), 3);
  EXPECT_EQ(penalty_of(0, "bpe"), 1);
}

TEST(Pipeline, BrokenLogitsEndWithAnErrorNotAToken) {
  LogitSource source{4, [](auto, std::span<float> logits) { logits[2] = std::numeric_limits<float>::quiet_NaN(); }};
  const std::vector<Token> prompt = {1};
  EXPECT_THROW((void)generate_all(source, std::make_shared<ByteTokenizer>(), prompt, plain(2)), NumericError);
}

TEST(Pipeline, WrongArgumentsAreRefusedBeforeAnythingIsFed) {
  Script script("abc");
  const auto refused = [&](auto change, const std::string& prompt = "p") {
    GenerateOptions o = plain(2);
    change(o);
    try {
      (void)script.run(o, prompt);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused([](auto& o) { o.max_tokens = -1; }), "max_tokens is -1; it must be 0 or more");
  EXPECT_EQ(refused([](auto& o) { o.chunk_len = 0; }), "chunk_len is 0; it must be at least 1");
  EXPECT_EQ(refused([](auto&) {}, ""), "the prompt is empty; give at least one token");
  EXPECT_EQ(refused([](auto& o) { o.token_stop = {-1}; }), "stop token -1 is outside the vocabulary of 259 tokens");
  EXPECT_EQ(refused([](auto& o) { o.sampling.token_ban = {259}; }), "banned token 259 is outside the vocabulary of 259 tokens");
  EXPECT_EQ(refused([](auto& o) { o.sampling.top_p = 2; }), "top_p is 2; it must be between 0 and 1");
  EXPECT_EQ(refused([](auto& o) { o.stop = {""}; }), "stop[0] is empty; a stop string has at least one character");
  EXPECT_TRUE(script.fed.empty());
}

TEST(RefineContext, EqualsTheReferenceCases) {
  for (const auto& c : test::read_json(test::data("cases/refine-context.json")))
    EXPECT_EQ(refine_context(c["text"].get<std::string>()), c["refined"]) << c;
}

TEST(RefineContext, TrimsAllUnicodeWhiteSpaceAndKeepsWhatLooksLikeIt) {
  EXPECT_EQ(refine_context("\u00a0\u2009a b\u2028\x1c\n\u200b\n\u0085"), "\na b\n\u200b");  // U+200B is not white space
  EXPECT_EQ(refine_context("\u00e0\xa0"), "\n\u00e0\xa0");
}

TEST(GenerateLoop, FeedsNothingBeforeTheFirstStepAndOneTokenPerStep) {
  Script script("abc");
  GenerateLoop loop(script.source(), std::make_shared<ByteTokenizer>(), {5, 6}, plain(3));
  EXPECT_TRUE(script.fed.empty());
  std::vector<std::string> texts;
  while (loop.step()) texts.push_back(loop.result().text);
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "ab"}));
  EXPECT_EQ(loop.result().text, "abc");
  EXPECT_EQ(script.fed, (std::vector<std::vector<Token>>{{5, 6}, {'a'}, {'b'}}));
  EXPECT_FALSE(loop.step());
  EXPECT_EQ(script.fed.size(), 3u);
}

TEST(GenerateLoop, APollIsAskedBeforeEachTokenAndEndsTheTextByThrowing) {
  Script script("abc");
  int polls = 0;
  GenerateOptions options = plain(3);
  options.poll = [&] {
    if (++polls == 3) throw std::runtime_error("stop");
  };
  GenerateLoop loop(script.source(), std::make_shared<ByteTokenizer>(), {5}, options);
  EXPECT_TRUE(loop.step());
  EXPECT_TRUE(loop.step());
  EXPECT_THROW(loop.step(), std::runtime_error);
  EXPECT_EQ(loop.result().text, "ab");
  EXPECT_EQ(loop.result().fed_tokens, 1);
  EXPECT_FALSE(loop.step());
}

}  // namespace
}  // namespace rwkv
