import hashlib
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest

from convert import hub
from models.errors import UserError
from tests.convert.fake_hub import TOKEN, FakeHub, fake_hub

REPO = "me/notes"


def silent(text: str, done: int, of: int) -> None:
    """Say nothing."""


def sum_up(folder: Path) -> None:
    """Write SHA256SUMS over everything in folder but it, and but what failed."""
    names = sorted(path.name for path in folder.iterdir() if "failed" not in path.name and path.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text("".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    writer = gguf.GGUFWriter(out / "x-Q8_0.gguf", "gemma3")
    writer.add_name("notes")
    writer.add_description("made by Galen")
    writer.add_chat_template("{{ 'Mr. Template' }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    (out / "README.md").write_text("---\nlicense: gemma\n---\n# notes\nSee https://ai.google.dev/gemma/terms.\n")
    (out / "report.json").write_text('{"files": []}')
    (out / "x-Q4_0.failed.gguf").write_bytes(b"red")
    sum_up(out)
    return out


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with fake_hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        yield state


def test_what_the_checksums_list_is_uploaded_in_one_commit_and_private(server: FakeHub, folder: Path):
    said: list[tuple[str, int, int]] = []
    address = hub.upload(folder, REPO, lambda *one: said.append(one), known=["{{ 'Mr. Template' }}"])
    assert address == f"{server.address}/{REPO}" and server.private == {REPO: True}
    assert set(server.files) == {"README.md", "SHA256SUMS", "report.json", "x-Q8_0.gguf"}
    assert all(server.files[name] == (folder / name).read_bytes() for name in server.files)
    assert sum("/commit/" in one for one in server.requests) == 1
    assert ("Uploading x-Q8_0.gguf", 2, 4) in said and said[-1] == ("Uploaded", 4, 4)


def test_public_only_when_asked(server: FakeHub, folder: Path):
    hub.upload(folder, REPO, silent, is_public=True, known=["{{ 'Mr. Template' }}"])
    assert server.private == {REPO: False} and "x-Q8_0.gguf" in server.files


def test_a_public_repository_is_not_filled_by_a_private_upload(server: FakeHub, folder: Path):
    server.private[REPO] = False
    with pytest.raises(UserError, match="me/notes exists already and is public; choose another"):
        hub.upload(folder, REPO, silent, allow_identifiers=True)
    assert not server.files and not server.large


def test_a_private_repository_is_not_called_public(server: FakeHub, folder: Path):
    server.private[REPO] = True
    with pytest.raises(UserError, match="me/notes exists already and is private; make it public on the hub's own page"):
        hub.upload(folder, REPO, silent, is_public=True, allow_identifiers=True)
    assert not server.files and server.private[REPO]


def test_a_private_one_that_is_there_gets_the_files(server: FakeHub, folder: Path):
    server.private[REPO] = True
    hub.upload(folder, REPO, silent, allow_identifiers=True)
    assert "README.md" in server.files and server.private[REPO]


def test_identifiers_stop_it_before_anything_is_sent(server: FakeHub, folder: Path):
    (folder / "report.json").write_text('{"base": {"path": "/home/jane/models"},\n "note": "call 555-123-4567"}')
    sum_up(folder)
    with pytest.raises(UserError, match="Nothing was uploaded: 3 places .* look like personal data") as error:
        hub.upload(folder, REPO, silent)
    for text in ("report.json, line 1: home folder '/home/jane'", "report.json, line 2: telephone '555-123-4567'",
                 "x-Q8_0.gguf, tokenizer.chat_template: name 'Template'"):
        assert text in str(error.value)
    assert not server.requests
    hub.upload(folder, REPO, silent, allow_identifiers=True)
    assert "report.json" in server.files


def test_metadata_of_a_gguf_is_text_too_and_its_pieces_are_not(tmp_path: Path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_description("for Mrs. Smith")
    writer.add_key_value("imatrix.datasets", ["/Users/jane/rows.csv"], gguf.GGUFValueType.ARRAY,
                         gguf.GGUFValueType.STRING)
    writer.add_token_list(["Dr. Who", "a@b.org"])
    writer.add_token_merges(["Dr. Who", "a@b.org c"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = hub.identifiers(tmp_path, ["x.gguf"])
    assert [(one.where, one.hit.text) for one in found] == [("general.description", "Smith"),
                                                            ("imatrix.datasets", "/Users/jane")]


@pytest.mark.parametrize(("token", "status", "text"), [
    ("", 0, "There is no token for the hub: make one .*huggingface.co/settings/tokens"),
    ("hf_bad", 0, "The hub does not know your token, which HF_TOKEN holds; make a new one"),
    (TOKEN, 403, "Your token may not write to me/notes; use one with the right to write"),
    (TOKEN, 404, "The hub knows no repository or owner me/notes"),
    (TOKEN, 400, r"The hub refused the upload to me/notes \(status 400\)"),
])
def test_what_the_hub_refuses_is_one_line(server: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, token: str,
                                          status: int, text: str):
    monkeypatch.setenv("HF_TOKEN", token)
    server.status = status
    with pytest.raises(UserError, match=text) as error:
        hub.upload(folder, REPO, silent, allow_identifiers=True)
    assert "\n" not in str(error.value) and not server.files


def test_no_network_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="The hub at 127.0.0.1 can not be reached .*; check the connection"):
        hub.upload(folder, REPO, silent, allow_identifiers=True)


def test_a_name_that_is_none(server: FakeHub, folder: Path):
    with pytest.raises(UserError, match="'a b/c' is no name for a repository; use owner/name"):
        hub.upload(folder, "a b/c", silent, allow_identifiers=True)


def test_stopping_commits_nothing(server: FakeHub, folder: Path):
    class Stopped(Exception):
        pass

    def stop(text: str, done: int, of: int) -> None:
        if text.startswith("Uploading"):
            raise Stopped

    with pytest.raises(Stopped):
        hub.upload(folder, REPO, stop, allow_identifiers=True)
    assert not server.files


def test_a_folder_that_is_no_export(tmp_path: Path, folder: Path):
    with pytest.raises(UserError, match="holds no SHA256SUMS, so it is not known what belongs to the export"):
        hub.upload(tmp_path, REPO, silent)
    (folder / "report.json").unlink()
    with pytest.raises(UserError, match="report.json is no longer in .*, though SHA256SUMS lists it"):
        hub.upload(folder, REPO, silent)
