import sys
from pathlib import Path

import pytest

from train import notice
from train.awake import awake


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the system's program")
def test_a_notice_goes_through_the_systems_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / ("osascript" if sys.platform == "darwin" else "notify-send")
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert notice.show("Galen", 'The run "a" -- is done; $(x)')
    assert (tmp_path / "said").read_text().splitlines()[-2:] == ["Galen", 'The run "a" -- is done; $(x)']


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the system's program")
def test_a_notice_that_fails_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not notice.show("Galen", "done")                              # no such program
    program = tmp_path / ("osascript" if sys.platform == "darwin" else "notify-send")
    program.write_text("#!/nowhere/sh\n")
    program.chmod(0o755)
    assert not notice.show("Galen", "done")                              # it can not be started


def test_each_system_has_its_program(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(notice.shutil, "which", lambda name: name)
    assert notice.command("a", "b", "linux") == ["notify-send", "--app-name=Galen", "--", "a", "b"]
    mac = notice.command("a", "b", "darwin")
    assert (mac[0], mac[-2:]) == ("osascript", ["a", "b"])
    assert notice.command("a", "b", "win32")[0] == "powershell"


def test_staying_awake_is_asked_for_or_said_to_be_impossible():
    said: list[str] = []
    with awake(True, said.append):
        pass
    assert not said or (len(said) == 1 and "see to it that the machine does not sleep" in said[0])
    with awake(False, said.append):
        pass
    assert len(said) <= 1


def test_where_the_system_can_not_be_asked_the_run_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAKEPY_FAKE_SUCCESS", "0")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    said: list[str] = []
    ran = False
    with awake(True, said.append):
        ran = True
    assert ran
    monkeypatch.setenv("WAKEPY_FAKE_SUCCESS", "1")
    said.clear()
    with awake(True, said.append):
        pass
    assert not said                                                      # the system was asked


