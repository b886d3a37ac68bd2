"""Bad input at the command line: one clear line on stderr, exit status 2, nothing lost."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from models import runs


def environment(home):
    return {**os.environ, "PYTHONPATH": str(runs.ROOT), "GALEN_HOME": str(home), "OMP_NUM_THREADS": "2"}


def galen(*words, home, **options):
    return subprocess.run([sys.executable, "-m", "ui.commands", *map(str, words)], env=environment(home),
                          capture_output=True, text=True, timeout=120, **options)


def refused(*words, home, **options) -> str:
    """Run a command that must be refused; returns its last line, which is the only one that is not progress."""
    done = galen(*words, home=home, **options)
    assert done.returncode == 2, f"status {done.returncode}: {done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("words", "expected"), [
    (["nonsense"], "invalid choice: 'nonsense'"),
    (["train"], "Name a recipe; there are"),
    (["train", "no-such", "--data", "x.csv"], "There is no recipe 'no-such'"),
    (["train", "summarise"], "add --data FILE"),
    (["train", "summarise", "--data", "none.csv"], "There is no file none.csv"),
    (["train", "summarise", "--data", __file__, "--base", "/no/such/base"], "/no/such/base does not exist"),
    (["train", "summarise", "--data", __file__, "--set", "rank=0"], "LoRA rank is 0; use 1 to 256."),
    (["train", "summarise", "--data", __file__, "--set", "rnak=8"], "did you mean 'rank'"),
    (["train", "summarise", "--data", __file__, "--map", "question"], "write field=column, as question=Frage"),
    (["train", "summarise", "--data", __file__, "--preview", "--estimate"], "not allowed with argument"),
    (["train", "summarise", "--data", f"one={__file__}"], "There is no stage 'one' for one="),
    (["train", "summarise", "--data", __file__, "--set", "one.lr=1"], "There is no stage 'one'; this recipe has none"),
    (["train", "answer-then-chat", "--data", f"talk={__file__}"], "there are pubmedqa, conversations"),
    (["train", "answer-then-chat", "--data", f"pubmedqa={__file__}"], "for the stage conversations; add --data"),
    (["train", "--resume", "/no/such/run"], "There is no folder /no/such/run; give the run folder"),
    (["train", "--resume", "/no/such/run", "--data", "x.csv"], "it can not be given with --data"),
    (["train", "--resume"], "expected one argument"),
    (["export", "/no/such/run"], "There is no folder /no/such/run"),
    (["export", "demo", "--type", "Q9_9"], "Q9_9"),
    (["chat", "no-such-model", "-p", "Hi"], "There is no model 'no-such-model' here"),
    (["chat", "demo", "-p", "Hi", "--temperature", "-1"], "Temperature is -1"),
    (["serve", "--port", "seventy"], "invalid int value: 'seventy'"),
    (["start", "--port", "99999"], "The port is 99999; use 1 to 65535"),
    (["chat", "demo", "-p", "Hi", "--context", "-1"], "Context is -1"),
    (["classify", "--in", "none.csv", "--labels", ",".join(["label"] * 80)], "There is no file none.csv"),
])
def test_one_clear_line(words, expected, tmp_path):
    assert expected in refused(*words, home=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="homes of others and lengths of names as POSIX has them")
@pytest.mark.parametrize(("words", "expected"), [
    (["doctor", "--bundle", "~nobody-here/x.zip"], "~nobody-here/x.zip begins with a home folder that this computer"),
    (["train", "answer", "--data", "~nobody-here/x.csv"], "begins with a home folder that this computer does not have"),
    (["chat", "~nobody-here/x.gguf", "-p", "Hi"], "There is no model '~nobody-here/x.gguf' here"),
    (["evaluate", "own", "--file", "x" * 300], "x can not be written or read (File name too long)"),
])
def test_one_clear_line_for_a_path_that_can_not_be(words, expected, tmp_path):
    assert expected in refused(*words, home=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes and fills the streams")
@pytest.mark.parametrize(("command", "statuses", "said"), [
    ("models list >&-", "0", ""), ("--help >&-", "0", ""),
    ("nonsense 2>&-", "2", ""), ("nonsense 2>/dev/full", "2", ""), ("nonsense 2>&1 | true", "2 0", ""),
    ("evaluate --json 2>&- | head -c 1", "0 0", "["), ("evaluate | true", "0 0", ""), ("--help | true", "0 0", ""),
    ("doctor 2>&1 | head -n 0", "0 0", ""), ("chat demo -p Hi --max-tokens 9 2>&1 | head -c 1", "0 0", "G"),
    ("chat demo -p Hi --max-tokens 9 >&- 2>&-", "0", ""), ("chat demo 2>&- <&-", "0", ""),
    ("models list >/dev/full", "2", "The output can not be written or read (No space left on device).\n"),
    ("token <&- 2>/dev/null", "2", ""),
    ("evaluate >/dev/full", "2", "The output can not be written or read (No space left on device).\n")])
def test_output_that_nobody_takes_ends_no_command_in_a_traceback(tmp_path, command, statuses, said):
    shell = f'"{sys.executable}" -m ui.commands {command}; echo "${{PIPESTATUS[@]}}" >statuses'
    done = subprocess.run(["bash", "-c", shell], env=environment(tmp_path), capture_output=True, text=True, timeout=180,
                          cwd=tmp_path)
    assert ((tmp_path / "statuses").read_text().strip(), done.stdout + done.stderr) == (statuses, said)


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """A library that prints would write into it."""
    code = ("import os\nfrom ui.commands import main\nstatus = main(['evaluate'])\n"
            "numbers = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]\n"
            "open('seen', 'w').write(f'{status} {min(numbers) > 2}')")
    shell = f'"{sys.executable}" -c "$CODE" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", shell], env={**environment(tmp_path), "CODE": code}, cwd=tmp_path, timeout=60)
    assert (tmp_path / "seen").read_text() == "0 True"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes the stream")
def test_a_child_of_a_command_with_a_closed_stream_has_it_too(tmp_path):
    code = ("import subprocess, sys\nfrom ui.terminal import open_streams\nopen_streams()\n"
            "child = 'import os, sys; os.fstat(1); open(sys.argv[1], \"w\").write(\"there\")'\n"
            "subprocess.run([sys.executable, '-c', child, 'seen'])")
    subprocess.run(["sh", "-c", f'"{sys.executable}" -c "$CODE" >&-'], env={**environment(tmp_path), "CODE": code},
                   cwd=tmp_path, timeout=60)
    assert (tmp_path / "seen").read_text() == "there"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole consoles")
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(tmp_path):
    process = subprocess.Popen([sys.executable, "-X", "importtime", "-m", "ui.commands", "models"],
                               env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "models.errors" in line and process.returncode is None:      # among the first of ours
            process.send_signal(signal.SIGINT)
    assert process.wait(60) in (-signal.SIGINT, 130) and "Traceback" not in said, said[-2000:]


def test_what_the_encoding_of_a_terminal_lacks_is_spelled_out(tmp_path):
    narrow = {**environment(tmp_path), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-m", "ui.commands", "models"], env=narrow, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"Galen demo \\xb7 Q8_0" in done.stdout, done.stderr
    done = subprocess.run([sys.executable, "-m", "ui.commands", "chat", "demo", "--max-tokens", "2"], env=narrow,
                          input=b"caf\xe9\n", capture_output=True, timeout=60)
    assert done.returncode == 0 and b"tokens/s" in done.stderr, done.stderr


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("columns.csv", "name,age\nx,1\n", "columns name, age"),
    ("empty.csv", "", "is empty"),
    ("header.csv", "dialogue,section_text\n", "header.csv"),
    ("rows.csv", "dialogue,section_text\nDoctor: hello,\n,note\n", "none of the 2 rows can be used"),
    ("long.csv", "question,answer\n" + "".join(
        f"What is {k * 9973}?,{' '.join(f'{k}w{j * 7919}' for j in range(300))}\n" for k in range(12)), "tokens"),
])
def test_tables_that_can_not_be_learned_from(table, tmp_path, name, text, expected):
    run = tmp_path / "run"
    assert expected in refused("train", "summarise", "--data", table(name, text), "--run", run, home=tmp_path)
    assert not (run / runs.ADAPTER).exists()


def test_unusable_rows_are_listed_by_line_and_left_out(table, tmp_path):
    good = "".join(f'"Doctor: How are you, number {k}? Patient: Tired.","Patient {k} is tired."\n' for k in range(12))
    data = table("some.csv", "dialogue,section_text\n" + good + '"Doctor: Hm.",""\n' + f'"Long?","{"word " * 3000}"\n')
    done = galen("train", "summarise", "--data", data, "--set", "max_steps=1", "--set", "evals=1",
                 "--run", tmp_path / "run", home=tmp_path)
    assert done.returncode == 0, done.stderr
    left_out = [json.loads(line) for line in (tmp_path / "run" / runs.UNUSABLE).read_text().splitlines()]
    assert [row["line"] for row in left_out] == [14, 15]
    assert "line 14" in done.stderr and "line 15" in done.stderr
    assert galen("export", tmp_path / "run", "--type", "Q8_0", home=tmp_path).returncode == 0
    note = tmp_path / "run" / runs.ADAPTER / "base.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "fingerprint": "0" * 16}))
    out = tmp_path / "other"
    assert "another base" in refused("export", tmp_path / "run", "--type", "Q8_0", "--out", out, home=tmp_path)
    assert not list(out.glob("*.gguf")) if out.exists() else True


def test_a_gguf_cut_short(tmp_path, demo_gguf):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(demo_gguf.read_bytes()[:-5000])
    assert "cut.gguf is cut short" in refused("chat", cut, "-p", "Hi", home=tmp_path)


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused("serve", "--port", port, home=tmp_path)


def test_chat_answers_once_and_says_what_it_is(tmp_path):
    done = galen("chat", "demo", "-p", "What is asthma?", "--temperature", "0", "--max-tokens", "40", home=tmp_path)
    assert done.returncode == 0 and done.stdout.strip()
    assert "no medical use" in done.stderr and "Not a medical device" in done.stderr


def test_a_message_that_is_too_long_does_not_end_the_talk(tmp_path):
    talk = "Hello\n" + "long " * 3000 + "\nWhat is asthma?\n"
    done = galen("chat", "demo", "--max-tokens", "3", "--context", "512", home=tmp_path, input=talk)
    assert done.returncode == 0 and "shorten it" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("tokens/s") == 2               # the first and the last were answered


def interrupted(marker, *words, home):
    """Run a command and press Ctrl-C when it says marker; returns (status, everything it said)."""
    process = subprocess.Popen([sys.executable, "-m", "ui.commands", *map(str, words)], env=environment(home),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if marker in line:
            process.send_signal(signal.SIGINT)
            marker = "\0"
    return process.wait(60), said


def test_training_that_is_stopped_before_it_learned_says_so(table, tmp_path):
    data = table("some.csv", "question,answer\n" + "".join(f"Why {k}?,Because {k}.\n" for k in range(20)))
    run = tmp_path / "run"
    status, said = interrupted("Run folder", "train", "summarise", "--data", data, "--run", run, home=tmp_path)
    assert status == 130 and "Nothing had been learned yet" in said and "Stopped, as asked." in said
    assert "The adapter is in" not in said and "kept" not in said and not (run / runs.ADAPTER).exists()


def test_an_export_that_is_stopped_says_that_nothing_was_written(tmp_path):
    out = tmp_path / "out"
    status, said = interrupted("Reading the model", "export", "demo", "--out", out, home=tmp_path)
    assert status == 130 and "No file was written." in said and "is missing" not in said
    assert not out.exists() or not list(out.iterdir())


QUESTIONS = "question,answer\n" + "".join(f"Why is number {k} {'so very ' * (k % 4)}odd?,Because of {k}.\n"
                                          for k in range(24))


def test_a_preview_trains_nothing_and_is_readable_without_colours(table, tmp_path):
    words = ["train", "answer", "--data", table("some.csv", QUESTIONS), "--preview"]
    done = galen(*words, "--run", tmp_path / "seen", home=tmp_path)
    assert done.returncode == 0 and "\x1b" not in done.stdout, done.stderr
    assert "The longest" in done.stdout and "<end_of_turn> \u25a0\u00bb" in done.stdout
    assert (tmp_path / "seen" / runs.PREVIEW).is_file() and not (tmp_path / "seen" / runs.ADAPTER).exists()
    said = json.loads(galen(*words, "--json", home=tmp_path).stdout)
    assert said["stages"][0]["samples"] and said["page"].endswith(runs.PREVIEW)


def test_rows_of_a_guarded_set_are_not_learned(table, tmp_path):
    rows = [f"What is number {k} of them all?,It is number {k * 7} and no other." for k in range(30)]
    data, guard = table("rows.csv", "question,answer\n" + "\n".join(rows)), table("test.csv",
                                                                                "question,answer\n" + rows[3])
    done = galen("train", "demo", "--data", data, "--guard", guard, "--preview", "--set", "similarity=1",
                 home=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert "also in" in said and str(guard) in said


def test_a_run_that_was_killed_says_how_to_go_on_and_goes_on(table, tmp_path):
    run = tmp_path / "run"
    words = ["train", "answer", "--data", table("some.csv", QUESTIONS), "--run", run, "--set", "answer_tokens=4",
             "--set", "batch=1", "--set", "checkpoints=1000", "--set", "evals=1"]
    process = subprocess.Popen([sys.executable, "-m", "ui.commands", *map(str, words)], env=environment(tmp_path),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((run / runs.CHECKPOINTS).glob(f"*/{runs.COMPLETE}")):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(runs.read_json(run / runs.PID)["pid"], signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and "signal 9; the memory may have run out" in said
    assert f"train --resume {run}; if the memory ran out" in said.splitlines()[-1]
    done = galen("train", "--resume", run, home=tmp_path)
    assert done.returncode == 0 and "Goes on after step" in done.stderr, done.stderr
    assert (run / runs.ADAPTER).is_dir()


def test_a_further_process_leaves_preview_and_estimate_to_the_first(table, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for what in ("--preview", "--estimate"):
        done = galen("train", "answer", "--data", table("some.csv", QUESTIONS), what, home=tmp_path)
        assert (done.returncode, done.stdout) == (0, "") and not (tmp_path / "runs").exists()
    monkeypatch.setenv("RANK", "0")
    assert "made by one process" in refused("train", "answer", "--data", table("some.csv", QUESTIONS), "--estimate",
                                            home=tmp_path)


def test_a_promise_is_made_kept_and_held_against_the_run(table, tmp_path):
    run, data = tmp_path / "my run", table("some.csv", QUESTIONS)
    words = ["train", "answer", "--data", data, "--set", "max_steps=2", "--set", "evals=1", "--set", "answer_tokens=4"]
    promise = galen(*words, "--estimate", "--run", run, home=tmp_path)
    assert promise.returncode == 0 and "for 2 steps" in promise.stdout and ": fits." in promise.stdout, promise.stderr
    assert f"train --resume '{run}'" in promise.stdout and not (run / runs.ADAPTER).exists()
    done = galen("train", "--resume", run, home=tmp_path)
    assert done.returncode == 0 and "Promise against fact:" in done.stdout, done.stderr
    assert "  time " in done.stdout and "  memory " in done.stdout and "step 2/2" in done.stderr
    assert "is finished; its adapter is in" in refused("train", "--resume", run, home=tmp_path)


def test_the_next_command_can_be_pasted(table, tmp_path):
    data = table("some.csv", "question,answer\n" + "".join(f"Why {k}?,Because {k}.\n" for k in range(20)))
    done = galen("train", "summarise", "--data", data, "--set", "max_steps=1", "--set", "evals=1",
                 "--run", tmp_path / "my run", home=tmp_path)
    assert f"export '{tmp_path / 'my run'}' --type" in done.stdout, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_table_whose_name_is_no_unicode_is_learned_from(tmp_path):
    data = tmp_path / os.fsdecode(b"caf\xe9.csv")
    data.write_text("question,answer\n" + "".join(f"Why {k}?,Because {k}.\n" for k in range(20)))
    done = galen("train", "summarise", "--data", data, "--set", "max_steps=1", "--set", "evals=1",
                 "--run", tmp_path / "run", home=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_models_lists_the_embedded_one(tmp_path):
    done = galen("models", "--json", home=tmp_path)
    assert json.loads(done.stdout)[0]["name"] == "demo"


def test_a_red_export_prints_its_report_as_json_too(tmp_path, demo_base):
    base = shutil.copytree(demo_base, tmp_path / "odd", ignore=shutil.ignore_patterns("*.gguf"))
    tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:100]       # other ids than tokenizer.model gives
    (base / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    done = galen("export", base, "--type", "Q8_0", "--out", tmp_path / "out", "--json", home=tmp_path)
    assert done.returncode == 2 and "The check found that the file is not the model" in done.stderr
    report = json.loads(done.stdout)
    assert report["folder"] == str(tmp_path / "out")
    assert [(one["name"], one["status"]) for one in report["files"]] == [("odd-Q8_0.failed.gguf", "red")]


def test_the_help_of_export_says_what_it_does_without_being_told(tmp_path):
    text = " ".join(galen("export", "--help", home=tmp_path).stdout.split())
    assert "With --push also the folder of an earlier export, which is uploaded as it is" in text
    assert "there is no importance matrix either" in text
