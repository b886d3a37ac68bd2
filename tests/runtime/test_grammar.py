"""A grammar that hangs or kills whoever follows it does so in a process of its own, and gets a sentence."""

import contextlib
import os
import subprocess
import sys
import time

import psutil
import pytest

from models import runs
from models.errors import UserError
from runtime.config import SampleConfig
from runtime.grammar import READY_S, REMEMBERED, GrammarTrial
from runtime.sampler import grammar_text

TWICE = "root ::= a0\n" + "\n".join(f"a{i} ::= a{i + 1} a{i + 1}" for i in range(26)) + '\na26 ::= "x" | ""'
WAYS = "root ::= " + "[a-z ]* " * 300
GOOD = 'root ::= ("yes" | "no") [a-z]*'


@pytest.fixture
def trial(demo_gguf):
    trial = GrammarTrial(demo_gguf)
    trial.check(GOOD)                           # started
    yield trial
    trial.close()


def helpers():
    return [one for one in psutil.Process().children()
            if one.status() != psutil.STATUS_ZOMBIE and "runtime.grammar" in one.cmdline()]


@pytest.mark.parametrize("grammar", [TWICE, WAYS], ids=["twice", "ways"])
def test_a_grammar_that_has_no_end_gets_a_sentence_and_the_next_one_is_tried(trial, grammar):
    with pytest.raises(UserError, match="too long or too much memory"):
        trial.check(grammar)
    before = helpers()
    with pytest.raises(UserError, match="too long or too much memory"):
        trial.check(grammar)
    assert helpers() == before                  # remembered, so that none was started anew
    trial.check('root ::= "other"')


@pytest.mark.parametrize("grammar", ['root ::= "a"{5,2}', "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000])
def test_what_can_be_seen_without_trying_ends_no_helper(trial, grammar):
    pids = [one.pid for one in helpers()]
    with pytest.raises(UserError, match="at least 5 and at most 2|nests more than"):
        trial.check(grammar)
    assert [one.pid for one in helpers()] == pids


def test_a_helper_that_dies_is_replaced(trial):
    first = helpers()[0]
    first.kill()
    psutil.wait_procs([first], 5)
    trial.check('root ::= "another"')
    assert [one.pid for one in helpers()] != [first.pid]


def test_one_helper_serves_all_and_what_it_found_is_remembered(trial):
    pids = [one.pid for one in helpers()]
    for k in range(REMEMBERED + 10):
        trial.check(f'root ::= "{k}"')
    with pytest.raises(UserError, match="does not parse"):
        trial.check("root ::= [")
    trial.check(grammar_text(SampleConfig(json_schema='{"type": "string", "maxLength": 2000}')))
    assert [one.pid for one in helpers()] == pids and len(pids) == 1
    assert len(trial._found) == REMEMBERED


def test_no_grammar_starts_no_helper(demo_gguf, tmp_path):
    trial = GrammarTrial(demo_gguf)
    trial.check(grammar_text(SampleConfig()))
    assert not helpers()
    lost = GrammarTrial(tmp_path / "none.gguf")
    with pytest.raises(UserError, match="can not be tried"):
        lost.check(GOOD)
    trial.close()
    lost.close()


def test_closing_ends_the_helper(trial):
    found = helpers()
    trial.close()
    assert len(found) == 1 and not helpers()


@pytest.mark.skipif(sys.platform == "win32", reason="a signal")
def test_the_helper_ends_with_its_parent_even_in_the_middle_of_a_trial(demo_gguf):
    code = ("import sys, threading, time; from pathlib import Path; from runtime.grammar import GrammarTrial\n"
            "trial = GrammarTrial(Path(sys.argv[1])); trial.check('root ::= \"a\"')\n"
            "threading.Thread(target=trial.check, args=(sys.argv[2],), daemon=True).start(); time.sleep(0.5)\n"
            "print(trial._helper.pid, flush=True); time.sleep(60)")
    parent = subprocess.Popen([sys.executable, "-c", code, str(demo_gguf), WAYS], stdout=subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": str(runs.ROOT)})
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + READY_S
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)
