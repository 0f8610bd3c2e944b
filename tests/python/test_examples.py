# SPDX-License-Identifier: Apache-2.0
"""The programs of python/examples, run as a user runs them, say what other ways to the same text say."""

import os
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

import rwkvcpp

EXAMPLES = pathlib.Path(__file__).parents[2] / "python/examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
GREEDY = {"temperature": 0, "alpha_presence": 0, "alpha_frequency": 0, "stop": "\n\n", "token_stop": 0}
PACKAGE_FOLDER = str(pathlib.Path(rwkvcpp.__file__).parents[1])


def run(name, *arguments, said="", status=0, folder=None):
    path = os.pathsep.join(filter(None, [PACKAGE_FOLDER, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    data = said if isinstance(said, bytes) else said.encode()
    done = subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], input=data, capture_output=True, timeout=300,
                          cwd=folder, env=environment, check=False)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode() if status == 0 else done.stderr.decode()


@pytest.fixture(scope="module")
def pipeline():
    return rwkvcpp.Pipeline(rwkvcpp.load_demo())


def conversation(pipeline, *turns):
    """Answers of a conversation whose text is fed again from its start for each turn."""
    text, answers = "", []
    for turn in turns:
        text += f"User: {turn}\n\nAssistant:"
        answers.append(pipeline.generate(text, 200, **GREEDY))
        text += answers[-1] + "\n\n"
    return answers


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_is_there_and_the_docstring_says_how_to_run_it(name):
    assert "--model" in run(name, "--help")
    assert f"\npython {name}" in (EXAMPLES / name).read_text()


def test_the_six_are_here():
    assert PROGRAMS == ["batch_of_prompts.py", "long_document.py", "many_continuations.py", "quick_start.py",
                        "save_and_restore.py", "streaming_chat.py"]


ARGUMENTS = {"save_and_restore.py": ["new.state", "Hello!"]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_missing_model_is_one_line_on_stderr(name, tmp_path):
    complaint = run(name, *ARGUMENTS.get(name, []), "--model", "no-such-model", status=1, folder=tmp_path)
    assert complaint.startswith("error: no-such-model: ")
    assert complaint.count("\n") == 1


def test_quick_start(pipeline):
    out = run("quick_start.py", "--prompt", "One day, Anna")
    text = pipeline.generate("One day, Anna", 120, temperature=0.7, top_p=0.9, token_stop=0, seed=1)
    assert "One day, Anna" + text in out
    assert "Assistant: 7 plus 8 is 15." in out
    likeliest = int(pipeline.read("One day, Anna", pipeline.model.new_state()).argmax())
    assert re.findall(r"^  +-?[\d.]+  (.*)$", out, re.MULTILINE)[0] == repr(pipeline.tokenizer.decode(likeliest))


def test_quick_start_refuses_an_empty_prompt_and_a_wrong_strategy():
    assert "prompt is empty" in run("quick_start.py", "--prompt", "", status=1)
    assert "fp61" in run("quick_start.py", "--strategy", "cpu fp61", status=1)


def test_streaming_chat_remembers_as_if_all_were_read_again(pipeline):
    turns = ["My name is Anna.", "What is my name?", "What is 7 plus 8?"]
    out = run("streaming_chat.py", "--temperature", 0, said="\n".join(turns) + "\n")
    assert out.splitlines() == conversation(pipeline, *turns)
    assert "Anna" in out.splitlines()[1]


def expect_state_behind(state, text, pipeline):
    """That of the text read at once. Values are up to 40; in another order of sums they differ by 1e-5."""
    whole = pipeline.model.new_state()
    pipeline.read(text, whole)
    assert state.tokens_seen == whole.tokens_seen
    assert max(abs(a - b).max() for a, b in zip(state, whole, strict=True)) < 1e-3


def test_streaming_chat_leaves_the_state_behind_the_whole_conversation(pipeline, capsys):
    answer = runpy.run_path(EXAMPLES / "streaming_chat.py")["answer"]
    state, text = pipeline.model.new_state(), ""
    for said in ["My name is Anna.", "What is my name?"]:
        answer(pipeline, said.encode(), state, 0)
        text += f"User: {said}\n\nAssistant:{capsys.readouterr().out[:-1]}\n\n"
        expect_state_behind(state, text, pipeline)


def test_streaming_chat_takes_any_bytes_and_empty_lines():
    out = run("streaming_chat.py", "--temperature", 0, said=b"\n\xff\xfe\n  \nWhat is 7 plus 8?")
    assert len(out.splitlines()) == 2
    assert run("streaming_chat.py") == ""


def test_streaming_chat_refuses_a_negative_temperature():
    assert "temperature" in run("streaming_chat.py", "--temperature", -1, said="Hello!\n", status=1)


def grown(out):
    return float(re.search(r"grew by ([\d.]+) MiB", out)[1])


def test_long_document_needs_the_same_memory_for_any_length():
    short, long = run("long_document.py", "--kib", 64), run("long_document.py", "--kib", 512)
    assert "Assistant: 7 plus 8 is 15." in long
    # 448 KiB of text more. A list of its tokens would add 4 MiB, the activations of one layer 110 MiB. Measured: 0.0 MiB.
    assert grown(long) - grown(short) < 2


def test_long_document_reads_a_file(tmp_path, pipeline):
    text = "Anna ate 3 eggs\n" * 2000  # two pieces of 16,384 characters, cut at a line end, where no token is cut
    (tmp_path / "book.txt").write_text(text)
    out = run("long_document.py", tmp_path / "book.txt", "--question", "What does a cow say?")
    state = pipeline.model.new_state()
    pipeline.read(text, state)
    assert out.startswith(f"{state.tokens_seen} tokens in ")
    prompt = "User: What does a cow say?\n\nAssistant:"
    assert prompt + pipeline.generate(prompt, 60, state=state, **GREEDY) in out


def test_long_document_answers_without_a_text_and_names_a_missing_file(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    assert run("long_document.py", tmp_path / "empty.txt").startswith("0 tokens")
    assert "nowhere.txt" in run("long_document.py", tmp_path / "nowhere.txt", status=1)


def test_many_continuations_are_those_of_single_runs(pipeline):
    out = run("many_continuations.py", "--prompt", "One day,", "--count", 3, "--tokens", 150)
    single = [pipeline.generate("One day,", 150, temperature=0.9, top_p=0.9, alpha_presence=0, alpha_frequency=0, seed=seed,
                                token_stop=0) for seed in range(3)]
    assert out == "".join(f"{number}: One day,{text}\n\n" for number, text in enumerate(single))
    assert len(set(single)) == 3


def test_many_continuations_refuses_none():
    assert "--count" in run("many_continuations.py", "--count", 0, status=2)


def test_save_and_restore_goes_on_as_if_never_interrupted(pipeline, tmp_path):
    turns = ["My name is Anna.", "What is my name?"]
    separate = [run("save_and_restore.py", "talk.state", turn, folder=tmp_path) for turn in turns]
    unbroken = run("save_and_restore.py", "other.state", *turns, folder=tmp_path)
    for out, turn, answer in zip(separate, turns, conversation(pipeline, *turns), strict=True):
        dialogue = f"User: {turn}\n\nAssistant:{answer}\n"
        assert dialogue in out
        assert dialogue in unbroken
    first, second = (rwkvcpp.State.load(tmp_path / name, pipeline.model) for name in ("talk.state", "other.state"))
    assert first == second
    text = "".join(f"User: {turn}\n\nAssistant:{answer}\n\n" for turn, answer in zip(turns, conversation(pipeline, *turns), strict=True))
    expect_state_behind(first, text, pipeline)


def test_save_and_restore_refuses_a_file_that_is_no_state(tmp_path):
    (tmp_path / "bad.state").write_text("not a state")
    assert "bad.state" in run("save_and_restore.py", tmp_path / "bad.state", "Hello!", status=1)
    assert (tmp_path / "bad.state").read_text() == "not a state"
    assert "folder" in run("save_and_restore.py", tmp_path / "no/such/folder/x.state", "Hello!", status=1)


def test_batch_answers_what_single_prompts_answer(pipeline):
    questions = ["What is 3 plus 4?", "My name is Tom. What is my name?", "Tell me a story about a hen.", "What does a cow say?"]
    out = run("batch_of_prompts.py", *questions)
    single = [pipeline.generate(f"User: {question}\n\nAssistant:", 100, **GREEDY) for question in questions]
    assert out == "".join(f"{question}\n   {answer.strip()}\n" for question, answer in zip(questions, single, strict=True))
    assert len({len(answer) for answer in single}) > 1  # they end at different steps
