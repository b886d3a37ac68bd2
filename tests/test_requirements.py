"""What is installed, from where: every package pinned once, the wheel index that fits, no place it should not name."""

import ast
import functools
import http.server
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import launcher

ROOT = Path(__file__).resolve().parent.parent
OURS = ["launcher.py", "requirements.txt", "requirements/chat.txt", "requirements/train.txt", "requirements/dev.txt",
        "Start-Windows.bat", "Start-macOS.command", "Start-Linux.sh", "bench/launcher.py", "docs/setup.md"]
Facts = launcher.Facts


def test_the_launcher_imports_the_standard_library_only():
    for path in (ROOT / "launcher.py", *(ROOT / "setup").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        assert names - {"setup"} <= set(sys.stdlib_module_names), path


def test_requirement_files_pin_everything_once():
    seen = {}
    for name in launcher.NEED_MB:
        for line in (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines():
            line = line.partition("#")[0].strip()
            if line:
                assert re.fullmatch(r'[A-Za-z0-9._-]+==[0-9][\w.]*(; \w+ [<>=]+ "[\w.]+")?', line), line
                package = line.partition("==")[0].lower().replace("_", "-")
                assert package not in seen, f"{package} stands in {name}.txt and {seen[package]}.txt"
                seen[package] = name
        assert set(launcher.pins(name)) == {package for package, file in seen.items() if file == name}
    assert seen["numpy"] == "chat" and seen["torch"] == "train" and seen["pytest"] == "dev"
    assert launcher.pins("chat")["llama-cpp-python"] == "llama-cpp-python==0.3.36"
    assert re.findall(r"^-r (\S+)$", (ROOT / "requirements.txt").read_text(), re.M) == [
        "requirements/chat.txt", "requirements/train.txt"]


@pytest.mark.parametrize("name", OURS)
def test_no_registry_and_no_place_of_one_machine_is_named(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    words = ["pypi" + ".org", "files.python" + "hosted", "/" + "root/", "/" + "work/", "/" + "opt/pypi"]
    assert not [word for word in words if word in text]
    for address in re.findall(r"https?://[^\s\"'`)>]+", text):
        allowed = (launcher.LLAMA_WHEELS, launcher.TORCH_CPU_WHEELS, "https://www.python.org/downloads/",
                   "https://visualstudio.microsoft.com/visual-cpp-build-tools/")
        assert address.startswith(allowed), address


@pytest.mark.parametrize(("facts", "asked", "indexes"), [
    (Facts(), "", ["cpu"]),
    (Facts(has_avx2=False), "", []),
    (Facts(arch="arm64", has_avx2=False), "", ["cpu"]),
    (Facts("Darwin", "arm64"), "", ["metal"]),
    (Facts("Darwin", "arm64"), "cpu", []),
    (Facts("Darwin", "x86_64"), "", []),
    (Facts("Windows"), "", ["cpu"]),
    (Facts("Windows", "arm64", has_avx2=False), "", []),
    (Facts(has_vulkan_card=True), "", ["vulkan", "cpu"]),
    (Facts(), "vulkan", ["vulkan"]),
    (Facts(cuda=124, capability=86, cublas=(12,), has_vulkan_card=True), "", ["cu124", "vulkan", "cpu"]),
    (Facts(cuda=124, capability=86, cublas=(12,)), "cuda", ["cu124"]),
    (Facts("Windows", cuda=123, capability=86, cublas=(11, 12)), "", ["cu118", "cpu"]),  # no 12.1 to 12.3 for Windows
    (Facts(cuda=128, capability=120, cublas=(12,)), "", ["cu125", "cpu"]),
    (Facts(cuda=131, capability=90, cublas=(13,)), "", ["cu130", "cpu"]),
    (Facts(cuda=140, capability=61, cublas=(12, 13)), "", ["cu125", "cpu"]),  # the CUDA 13 wheels begin at 7.5
    (Facts(cuda=132, capability=90, has_vulkan_card=True), "", ["vulkan", "cpu"]),  # a driver alone runs no CUDA wheel
    (Facts(cuda=132, capability=90), "cuda", ["cu132"]),  # asked for: then it is tried
    (Facts(cuda=117, capability=86, cublas=(11,)), "cuda", []),
    (Facts(), "source", []),
])
def test_the_index_fits_the_machine(facts, asked, indexes):
    assert launcher.llama_indexes(facts, asked) == indexes


def test_this_machine_is_understood():
    facts = launcher.machine_facts()
    assert facts.system in ("Linux", "Darwin", "Windows") and facts.arch in ("x86_64", "arm64")
    assert facts.cuda == 0 or facts.capability > 0


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the driver's program")
@pytest.mark.parametrize(("says", "cuda"), [("CUDA Version: 12.4  |", 124), ("CUDA Version: 13.0 |", 130), ("none", 0)])
def test_the_driver_is_asked_through_its_own_program(tmp_path, monkeypatch, says, cuda):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncase \"$1\" in --query*) echo 8.9;; *) echo '| NVIDIA-SMI 550.1 {says}';; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    facts = launcher.machine_facts()
    assert (facts.cuda, facts.capability) == (cuda, 89)


def test_an_index_counts_only_when_it_answers_in_time(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "cpu").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{server.server_port}"
        assert launcher.is_reachable(f"{index}/cpu/", time.monotonic() + 30)
        assert not launcher.is_reachable(f"{index}/cu999/", time.monotonic() + 30)
        server.shutdown()
    assert not launcher.is_reachable(f"{index}/cpu/", time.monotonic() + 30)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert not launcher.is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", began + 1)
        assert time.monotonic() - began < 10
