# SPDX-License-Identifier: Apache-2.0
"""rwkvcpp.utils.PIPELINE against the reference's texts, distributions and draws, and the rules of the package."""

import copy
import importlib.util
import inspect
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import rwkvcpp
from rwkvcpp.__main__ import main
from rwkvcpp.model import RWKV
from rwkvcpp.utils import PIPELINE, PIPELINE_ARGS

REPOSITORY = Path(__file__).parents[2]
CASES = REPOSITORY / "tests/data/cases"
TINY = REPOSITORY.parent / "shared/models"
WORLD = "rwkv_vocab_v20230424"


def cases(name):
    return json.loads((CASES / name).read_text())


@pytest.fixture(scope="module")
def model():
    return RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)


@pytest.fixture
def pipeline(model):
    return PIPELINE(model, WORLD)


class Words:
    """A tokenizer of ours: one of the package's kind, from a table of texts; ids outside it are invalid."""

    def __init__(self, table=()):
        self.table = dict(table)

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, tokens):
        data = b"".join(self.table.get(token, b"\xff") for token in tokens)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "\ufffd"


class Scripted(RWKV):
    """A model whose likeliest tokens are given in advance; remembers the calls of forward()."""

    def __init__(self, tokens):
        super().__init__(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)
        self.tokens, self.calls = list(tokens), []

    def forward(self, tokens, state, full_output=False):
        self.calls.append(list(tokens))
        out = np.zeros(self.args.vocab_size, np.float32)
        out[self.tokens[max(0, sum(map(len, self.calls)) - self.n_prompt)]] = 50
        return out, [0]


def scripted(tokens, table, prompt="ab", **options):
    """The text, the pieces and the calls of forward() when `tokens` are generated."""
    model = Scripted([*tokens, 0])
    model.n_prompt = len(prompt)
    pipeline, pieces = PIPELINE(model, WORLD), []
    pipeline.tokenizer = Words(table)
    args = PIPELINE_ARGS(top_p=0, alpha_frequency=0, alpha_presence=0, **options)
    return pipeline.generate(prompt, len(tokens), args, pieces.append), pieces, model.calls


# ---- Against the reference


@pytest.mark.parametrize("case", cases("generate.json"), ids=lambda case: f"{case['model']}-{case['prompt'].strip()}")
def test_generates_the_texts_of_the_reference(case):
    if not (TINY / f"{case['model']}.pth").exists():
        pytest.skip(f"skipped: {case['model']} is not here")
    model = RWKV(str(TINY / case["model"]), "cpu fp32", verbose=False)
    tokens, fed = [], PIPELINE.sample_logits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = PIPELINE(model, WORLD)
    pipeline.sample_logits = lambda out, **options: tokens.append(fed(pipeline, out, **options)) or tokens[-1]
    names = list(inspect.signature(PIPELINE_ARGS).parameters)
    args = PIPELINE_ARGS(**{name: case[name] for name in names if name in case})
    assert pipeline.encode(case["prompt"]) == case["prompt_tokens"]
    text = pipeline.generate(case["prompt"], case["token_count"], args)
    assert text == case["text"]
    n = len(case["tokens"])
    assert tokens[:n] == case["tokens"] and all(token in args.token_stop for token in tokens[n:])


@pytest.mark.parametrize("case", cases("sampling.json"))
def test_draws_the_tokens_of_the_reference(case, pipeline, monkeypatch):
    for uniform, expected in case["draws"].items():
        monkeypatch.setattr(np.random, "random_sample", lambda u=float(uniform): u)
        found = pipeline.sample_logits(np.array(case["logits"]), case["temperature"], case["top_p"], case["top_k"])
        assert found == expected


def test_draws_in_the_proportions_of_the_reference(pipeline):
    case = next(case for case in cases("sampling.json") if np.count_nonzero(case["probabilities"]) > 4)
    np.random.seed(0)
    logits, options = np.array(case["logits"]), (case["temperature"], case["top_p"], case["top_k"])
    counts = np.bincount([pipeline.sample_logits(logits, *options) for _ in range(4000)], minlength=len(logits))
    assert np.abs(counts / 4000 - case["probabilities"]).max() < 0.03


@pytest.mark.parametrize("case", cases("refine-context.json"), ids=lambda case: repr(case["text"]))
def test_refines_a_context(case, pipeline):
    assert pipeline.refine_context(case["text"]) == case["refined"]


# ---- Sampling


def test_one_number_of_numpys_generator_per_draw(pipeline, model):
    out, _ = model.forward([1, 2, 3], None)
    np.random.seed(5)
    drawn = [pipeline.sample_logits(out, top_p=0.95, temperature=2) for _ in range(3)]
    after = np.random.random_sample()
    np.random.seed(5)
    probabilities = np.float64(rwkvcpp.sampling_distribution(out, top_p=0.95, temperature=2))
    assert drawn == [int(np.random.choice(len(out), p=probabilities / probabilities.sum())) for _ in range(3)]
    assert after == np.random.random_sample()


def test_options_outside_the_librarys_range(pipeline):
    logits = np.array([0.0, 3.0, 1.0])
    assert pipeline.sample_logits(logits, top_p=-1) == pipeline.sample_logits(logits, temperature=0) == 1
    np.random.seed(0)
    assert {pipeline.sample_logits(logits, top_p=1.5, top_k=-1) for _ in range(300)} == {0, 1, 2}


def test_logits_of_any_kind_and_left_as_they_are(pipeline, model):
    out, _ = model.forward([1, 2, 3], None)
    before, best = out.clone(), int(out.argmax())
    for logits in (out, out.numpy(), out.tolist(), out.astype(np.float64)):
        assert pipeline.sample_logits(logits, top_p=0) == best
    assert np.array_equal(out, before)
    if importlib.util.find_spec("torch"):
        import torch

        assert pipeline.sample_logits(torch.tensor(out).to(torch.bfloat16), top_k=1) == best


# ---- generate()


def test_arguments_are_the_packages_and_lists_are_not_shared():
    parameters = inspect.signature(PIPELINE_ARGS).parameters
    names = "temperature top_p top_k alpha_frequency alpha_presence alpha_decay token_ban token_stop chunk_len"
    assert list(parameters) == names.split()
    values = list(vars(PIPELINE_ARGS()).values())
    assert values == [1.0, 0.85, 0, 0.2, 0.2, 0.996, [], [], 256]
    PIPELINE_ARGS().token_ban.append(1)
    assert PIPELINE_ARGS().token_ban == []
    assert list(inspect.signature(PIPELINE.generate).parameters)[1:] == ["ctx", "token_count", "args", "callback", "state"]


def test_feeds_the_prompt_in_chunks_and_then_each_token():
    _, _, calls = scripted([1, 2, 3], {1: b"x", 2: b"y", 3: b"z"}, prompt="abcdefg", chunk_len=3)
    assert calls == [[97, 98, 99], [100, 101, 102], [103], [1], [2]]


def test_holds_back_incomplete_characters():
    text, pieces, _ = scripted([1, 2, 3, 4, 2], {1: b"a", 2: b"\xe4", 3: b"\xbd", 4: b"\xa0b"})
    assert text == "a\u4f60b" and pieces == ["a", "\u4f60b"]


def test_stops_in_front_of_a_stop_token():
    assert scripted([1, 2, 9, 1], {1: b"a", 2: b"b", 9: b"c"}, token_stop=[9])[0] == "ab"


def test_an_id_without_text_does_not_hold_back_the_rest(pipeline):
    tokens = pipeline.encode("The cat ran.")
    drawn = iter([tokens[0], 0, *tokens[1:], 0])
    pipeline.sample_logits = lambda out, **options: next(drawn)
    assert len(tokens) > 2 and pipeline.decode([0]) == pipeline.decode([*tokens, 0]) == "\ufffd"
    assert pipeline.generate("Hi", len(tokens) + 2) == "The cat ran."


@pytest.mark.parametrize(
    "text, counts", [(b"1", False), (b"12", False), (b" ", False), (b" \t", False), (b"", False), (b"21", True), (b"a", True)]
)
def test_blanks_and_digits_only_get_the_presence_penalty(text, counts):
    seen = []

    class Watching(PIPELINE):
        def sample_logits(self, logits, **options):
            seen.append(float(logits[1]))
            return 1

    model = Scripted([1])
    model.n_prompt = 100
    pipeline = Watching(model, WORLD)
    pipeline.tokenizer = Words({1: text})
    pipeline.generate("a", 3, PIPELINE_ARGS(alpha_presence=1, alpha_frequency=4, alpha_decay=0.5))
    expected = [50, 50 - 1 - 4, 50 - 1 - 4 * 1.5] if counts else [50, 49, 49]
    assert seen == expected


def test_penalties_of_many_tokens_match_the_rule():
    generator, vocabulary = np.random.default_rng(1), 500
    drawn = generator.integers(1, vocabulary, 400).tolist()
    seen, expected, occurrence = [], [], {}

    class Watching(PIPELINE):
        def sample_logits(self, logits, **options):
            seen.append(np.array(logits))
            return drawn[len(seen) - 1]

    model = Scripted([0])
    model.n_prompt = 10**6
    pipeline = Watching(model, WORLD)
    pipeline.tokenizer = Words({token: b"a" if token % 3 else b"7" for token in range(vocabulary)})
    pipeline.generate("a", 400, PIPELINE_ARGS(alpha_presence=0.3, alpha_frequency=0.7, alpha_decay=0.9, token_ban=[4, 5]))
    for token in drawn:
        logits = np.zeros(model.args.vocab_size, np.float32)
        logits[0] = 50
        logits[[4, 5]] = -np.inf
        for n, count in occurrence.items():
            logits[n] -= np.float32(0.3 + count * 0.7)
        expected.append(logits)
        occurrence = {n: count * 0.9 for n, count in occurrence.items()}
        occurrence[token] = occurrence.get(token, 0) + (1 if token % 3 else 0)
    assert np.array_equal(seen, expected)


def test_seeded_text_is_repeatable_and_the_callback_gets_all_of_it(pipeline):
    pieces = []
    np.random.seed(11)
    first = pipeline.generate("User: hi\n\nAssistant:", 30, PIPELINE_ARGS(top_p=0.9), callback=pieces.append)
    np.random.seed(11)
    assert pipeline.generate("User: hi\n\nAssistant:", 30, PIPELINE_ARGS(top_p=0.9)) == first == "".join(pieces) != ""


@pytest.mark.parametrize("name", ["random-v4", "random-v5.2", "random-v6", "random-v7"])
def test_who_changes_the_state_passed_to_generate(name):
    model = RWKV(str(REPOSITORY / "tests/data/models" / name), "cpu fp32", verbose=False)
    pipeline = PIPELINE.__new__(PIPELINE)
    pipeline.model, pipeline.tokenizer, tokens = model, Words({n: b"a" for n in range(97)}), []
    pipeline.sample_logits = lambda out, **options: tokens.append(PIPELINE.sample_logits(pipeline, out, **options)) or tokens[-1]
    _, state = model.forward([1, 2], None)
    before = copy.deepcopy(state)
    pipeline.generate("\x03\x04\x05", 6, PIPELINE_ARGS(top_p=0, chunk_len=2), state=state)
    if model.version == 7:
        assert state == before
    else:
        expected = before
        for part in ([3, 4], [5], *([token] for token in tokens[:-1])):
            _, expected = model.forward(part, expected)
        assert state == expected


def test_version_7_copies_no_state_per_token(pipeline, monkeypatch):
    advanced, advance = [], RWKV.advance
    monkeypatch.setattr(RWKV, "advance", lambda self, tokens, state: advanced.append(tokens) or advance(self, tokens, state))
    pipeline.generate("User: hi", 10, PIPELINE_ARGS(chunk_len=256))
    assert len(advanced) == 9


def test_overridden_methods_are_called(model):
    called = []

    class Mine(PIPELINE):
        def encode(self, x):
            called.append("encode")
            return super().encode(x)

        def decode(self, x):
            called.append("decode")
            return super().decode(x)

        def sample_logits(self, *args, **options):
            called.append("sample_logits")
            return super().sample_logits(*args, **options)

    class MyModel(RWKV):
        def forward(self, tokens, state, full_output=False):
            called.append("forward")
            return super().forward(tokens, state, full_output)

    mine = Mine(MyModel(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False), WORLD)
    np.random.seed(2)
    text = mine.generate("User: hi", 5)
    assert called.count("forward") == called.count("sample_logits") == 5 and called.count("encode") == 1 and "decode" in called
    np.random.seed(2)
    assert PIPELINE(model, WORLD).generate("User: hi", 5) == text


def test_what_cannot_be_generated_is_refused(pipeline):
    with pytest.raises(rwkvcpp.ArgumentError, match="ctx has no tokens"):
        pipeline.generate("")
    with pytest.raises(rwkvcpp.ArgumentError, match="chunk_len is 0"):
        pipeline.generate("a", args=PIPELINE_ARGS(chunk_len=0))
    assert pipeline.generate("a", token_count=0) == ""


# ---- Vocabularies


def test_the_vocabulary_in_the_models_file_goes_before_a_name(pipeline, model):
    assert len(pipeline.tokenizer) == model.args.vocab_size
    assert PIPELINE(model, "20B_tokenizer.json").encode("Hello") == pipeline.encode("Hello")


def test_a_file_that_is_there_is_used(model):
    small = REPOSITORY / "tests/data/tokenizer/small_world.txt"
    tokenizer = PIPELINE(model, small).tokenizer
    assert tokenizer.source == str(small)


def test_the_world_vocabulary_comes_with_the_package():
    class Bare:
        engine = None

    pipeline = PIPELINE(Bare(), WORLD)
    for case in cases("tokenizer-world.json"):
        assert pipeline.encode(case["text"]) == case["ids"] and pipeline.decode(case["ids"]) == case["decoded"]
    for case in cases("tokenizer-world-decode.json"):
        assert pipeline.decode(case["ids"]) == case["decoded"]


def test_a_vocabulary_in_json_skips_special_and_unknown_ids():
    class Bare:
        engine = None

    file = REPOSITORY.parent / "shared/tokenizer/20B_tokenizer.json"
    if not file.exists():
        pytest.skip("skipped: 20B_tokenizer.json is not here")
    pipeline = PIPELINE(Bare(), file)
    for case in cases("tokenizer-20b.json"):
        assert pipeline.encode(case["text"]) == case["ids"] and pipeline.decode(case["ids"]) == case["decoded"]
    for case in cases("tokenizer-20b-decode.json"):
        assert pipeline.decode(case["ids"]) == case["decoded"]
    assert pipeline.decode([0, 187, 50303, 510]) == "\nThe"


def test_a_vocabulary_that_does_not_fit_is_replaced_with_a_warning():
    if not (TINY / "tiny-rwkv-4v0.pth").exists():
        pytest.skip("skipped: tiny-rwkv-4v0 is not here")
    model = RWKV(str(TINY / "tiny-rwkv-4v0"), "cpu fp32", verbose=False)
    with pytest.warns(UserWarning, match="ids up to 65529, but the model has 256 outputs: using bytes instead"):
        assert PIPELINE(model, WORLD).encode("a") == [97]
    random = RWKV(str(REPOSITORY / "tests/data/models/random-v4"), "cpu fp32", verbose=False)
    with pytest.raises(rwkvcpp.TokenizerError, match="no tokenizer found"):
        PIPELINE(random, WORLD)


def test_vocabularies_that_are_missing(model, tmp_path):
    class Bare:
        engine = None

    with pytest.raises(rwkvcpp.MissingFileError, match=r"nowhere\.json"):
        PIPELINE(Bare(), str(tmp_path / "nowhere.json"))
    if importlib.util.find_spec("tiktoken") is None:
        with pytest.raises(ImportError, match="pip install tiktoken"):
            PIPELINE(model, "cl100k_base")


def test_the_tokenizer_can_be_replaced(pipeline):
    class WithIds(Words):
        def encode(self, text):
            encoded = type("Encoding", (), {})()
            encoded.ids = super().encode(text)
            return encoded

    pipeline.tokenizer = WithIds({72: b"H"})
    assert pipeline.encode("Hi") == [72, 105] and pipeline.decode([72]) == "H" and pipeline.decode([1]) == "\ufffd"


# ---- python -m rwkvcpp


def test_tools_are_listed(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(tool in printed for tool in ("generate", "convert", "info FILE"))
    assert main(["--version"]) == 0 and rwkvcpp.__version__ in capsys.readouterr().out
    assert main([]) == 2 and "usage" in capsys.readouterr().err


def test_a_wrong_tool_is_answered_with_the_right_one(capsys):
    assert main(["conver"]) == 2 and "did you mean convert?" in capsys.readouterr().err
    assert main(["xyz"]) == 2 and "there are generate, convert, info" in capsys.readouterr().err


def test_info_of_a_file(capsys):
    assert main(["info", str(rwkvcpp.DEMO_MODEL)]) == 0
    printed = capsys.readouterr().out
    assert "safetensors" in printed and "n_vocab         1024" in printed and "in the file" in printed
    assert main(["info", "no-such-file"]) == 1 and "no-such-file" in capsys.readouterr().err


def test_programs_get_all_arguments_and_give_their_status(tmp_path, monkeypatch, capfd):
    program = tmp_path / "bin/rwkv-generate"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\nsys.exit(7)\n")
    program.chmod(0o755)

    def become(path, arguments):
        raise SystemExit(subprocess.run([path, *arguments[1:]], check=False).returncode)

    monkeypatch.setattr("os.execv", become)
    monkeypatch.setattr("rwkvcpp.__main__.__file__", str(tmp_path / "__main__.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(program.parent))
    monkeypatch.setenv("PATH", str(program.parent))
    try:
        status = main(["generate", "a b", "--help"])
    except SystemExit as left:
        status = left.code
    assert status == 7 and capfd.readouterr().out == "['a b', '--help']\n"
    assert main(["convert"]) == 127
    assert "rwkv-convert" in capfd.readouterr().err


def test_runs_as_a_module():
    folder = str(Path(rwkvcpp.__file__).parents[1])
    done = subprocess.run([sys.executable, "-m", "rwkvcpp", "generat"], env={"PYTHONPATH": folder}, capture_output=True, text=True)
    assert done.returncode == 2 and "did you mean generate?" in done.stderr
