# SPDX-License-Identifier: Apache-2.0
"""Every public name has a docstring with an example, and every example does what it says."""

import doctest
import inspect
import types

import pytest

import rwkvcpp
import rwkvcpp.errors

# What a class does by protocol, and what is said by one line: properties, attributes, exceptions.
PLAIN = (property, type(None))


def public_objects():
    """(name, docstring, needs an example)"""
    yield "rwkvcpp", rwkvcpp.__doc__, True
    for name in rwkvcpp.__all__:
        value = getattr(rwkvcpp, name)
        if not (inspect.isclass(value) or callable(value)):
            continue
        error = inspect.isclass(value) and issubclass(value, Exception)
        made_by_others = value in (rwkvcpp.CheckpointInfo, rwkvcpp.Memory)
        yield name, value.__doc__, not (error or made_by_others)
        if not inspect.isclass(value) or error:
            continue
        for member, raw in vars(value).items():
            attribute = raw if isinstance(raw, property) else getattr(value, member)
            if not member.startswith("_"):
                yield f"{name}.{member}", attribute.__doc__, not isinstance(attribute, PLAIN)


OBJECTS = {name: (doc, example) for name, doc, example in public_objects()}


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring(name, tmp_path, monkeypatch):
    doc, needs_example = OBJECTS[name]
    assert doc and doc.strip(), f"{name} has no docstring"
    test = doctest.DocTestParser().get_doctest(doc, {"rwkvcpp": rwkvcpp, "path": tmp_path / "file"}, name, None, 0)
    if needs_example and not isinstance(getattr(rwkvcpp, name.split(".")[0], None), types.ModuleType):
        assert test.examples, f"{name} has no example"
    monkeypatch.setitem(test.globs, "load_demo", rwkvcpp.load_demo)
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
