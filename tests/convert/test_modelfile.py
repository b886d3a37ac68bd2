import json
from dataclasses import replace
from pathlib import Path

import pytest

from convert.licence import GEMMA_NOTICE, read_licence
from convert.modelfile import Modelfile, check_name, make, read, sampling, shared_system, stops
from models.errors import UserError
from tests.convert.test_gotemplate import CHATML, GEMMA_2, LLAMA_3, Named


def parsed(text: str) -> list[tuple[str, str]]:
    """(instruction, value) as Ollama reads a Modelfile: a value ends at the first space after which its quotes match.

    Source: ollama/ollama, parser/parser.go; written anew.
    """
    found, at = [], 0
    while at < len(text):
        if text[at] in " \t\r\n":
            at += 1
        elif text[at] == "#":
            at = text.index("\n", at)
        else:
            name = text[at:].split(maxsplit=1)[0]
            at += len(name) + 1
            if name == "PARAMETER":
                name = text[at:].split(maxsplit=1)[0]
                at += len(name) + 1
            value = ""
            while at < len(text) and not (text[at] == "\n" and unquoted(value.strip()) is not None):
                value += text[at] if text[at].isprintable() or text[at] in "\t\r\n" else ""
                at += 1
                if text[at - 1] in " \t\r" and value.startswith('"') and unquoted(value.strip()) is not None:
                    break
            found.append((name, unquoted(value.strip()) or ""))
    return found


def unquoted(value: str) -> str | None:
    for quotes in ('"""', '"'):
        if value.startswith(quotes):
            is_whole = len(value) >= 2 * len(quotes) and value.endswith(quotes)
            return value[len(quotes):-len(quotes)] if is_whole else None
    return value


def test_what_is_written_is_what_ollama_reads(gemma3: Path):
    made = make(gemma3, Named(GEMMA_2), "x-Q4_K_M.gguf", projector="mmproj-x.gguf", licence='Some "terms".\n\n  Two.\n',
                system='You are "brief".\nAlways')
    lines = parsed(made.text())
    assert lines[:2] == [("FROM", "./x-Q4_K_M.gguf"), ("FROM", "./mmproj-x.gguf")]
    assert lines[2] == ("TEMPLATE", made.template)
    assert [line for line in lines if line[0] == "stop"] == [("stop", "<end_of_turn>"), ("stop", "<start_of_turn>")]
    again = read(made.text())
    assert again == replace(made, notes=())
    assert lines[-2:] == [("SYSTEM", 'You are "brief".\nAlways'), ("LICENSE", 'Some "terms".\n\n  Two.\n')]


@pytest.mark.parametrize("text", ["plain", "two words", " led", "a\nb", 'say "hi"', '"', 'a "so"', 'a "" b', "\ta\n\n"])
def test_every_text_comes_through_its_quotes(text: str):
    made = Modelfile(model="x.gguf", template="t", system=text)
    assert parsed(made.text())[-1] == ("SYSTEM", text)
    assert read(made.text()) == made


@pytest.mark.parametrize(("text", "words"), [
    ("FROM ./x.gguf\n", "lacks FROM or TEMPLATE"), ("FROM ../x.gguf\nTEMPLATE t\n", "names a file in another folder"),
    ("FROM ./x.gguf\nADAPTER ./y\nTEMPLATE t\n", "holds ADAPTER, which is not read here"),
    ('FROM ./x.gguf\nTEMPLATE """t\n', "ends within a text"),
    ("FROM ./x.gguf\nTEMPLATE t\nPARAMETER top_k many\n", "top_k is many")])
def test_a_file_that_is_none_of_ours_is_said_to_be(text: str, words: str):
    with pytest.raises(UserError, match=words):
        read(text)


def test_what_no_modelfile_can_hold(gemma3: Path):
    made = make(gemma3, Named(GEMMA_2), "x.gguf", system='a """ b', licence="Terms.")
    assert made.system == "" and "# The rows' system message is not in here" in made.text()
    assert parsed(made.text())[-1] == ("LICENSE", "Terms.")
    with pytest.raises(UserError, match="SYSTEM holds three quotation marks in a row"):
        Modelfile(model="x.gguf", template="t", system='a """ b').text()
    with pytest.raises(UserError, match="file name 'a b.gguf' can not stand in a Modelfile"):
        Modelfile(model="a b.gguf", template="t").text()
    made = make(gemma3, Named(GEMMA_2), "x.gguf", licence='"""', system="zero\u200bwidth")
    assert made.licence == "" and "licence lies beside" in "".join(made.notes)
    assert "drops unprintable characters" in made.text()


def test_a_date_in_the_template_is_noted(gemma3: Path):
    dated = "{{ '<d>' + strftime_now('%d %b %Y') }}" + CHATML
    assert "date it was made" in make(gemma3, Named(dated), "x.gguf").text()
    assert "date it was made" not in make(gemma3, Named(CHATML), "x.gguf").text()


def test_stops_are_the_control_strings_around_turns():
    from convert.gotemplate import read_form
    llama = Named(LLAMA_3, controls=frozenset({"<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<bos>"}))
    assert stops(read_form(llama), llama) == ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    assert stops(read_form(llama), Named(LLAMA_3, controls=frozenset())) == ["<eos>"]


def test_sampling_defaults_are_the_models(tmp_path: Path):
    assert sampling(tmp_path) == {}
    values = dict(temperature=1, top_k=64, top_p=0.95, min_p=0.0, repetition_penalty=1.1, do_sample=True)
    (tmp_path / "generation_config.json").write_text(json.dumps(values))
    assert sampling(tmp_path) == dict(temperature=1.0, top_k=64, top_p=0.95, min_p=0.0, repeat_penalty=1.1)
    (tmp_path / "generation_config.json").write_text(json.dumps(values | {"do_sample": False}))
    assert sampling(tmp_path) == {"temperature": 0.0}


def test_the_system_message_that_all_rows_share():
    def row(system: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": system}, {"role": "user", "content": "a"}]

    assert shared_system([row("x"), row("x")]) == "x"
    assert shared_system([row("x"), row("y")]) == shared_system([row("x"), row("x")[1:]]) == shared_system([]) == ""


@pytest.mark.parametrize("name", ["notes", "me/notes:q4", "reg.example.com/me/notes", "localhost:5000/me/notes:1.2"])
def test_names_that_ollama_takes(name: str):
    check_name(name)


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "a/b/c/d", "x:", "x" * 300, "é"])
def test_names_that_it_does_not(name: str):
    with pytest.raises(UserError, match="is no name for a model in Ollama"):
        check_name(name)


def config(folder: Path, family: str) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    return folder


def test_a_licence_is_the_bases_own_words(tmp_path: Path, demo_base: Path):
    config(tmp_path, "llama")
    assert read_licence(tmp_path).text == "" and read_licence(tmp_path).name == ""
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: terms-x\nlicense_link: https://x.org/t\n---\n")
    named = read_licence(tmp_path)
    assert (named.name, named.title, named.text) == ("other", "terms-x", "terms-x: https://x.org/t")
    (tmp_path / "LICENSE.txt").write_text("All of it.")
    assert read_licence(tmp_path).text == "All of it." and read_licence(tmp_path).files[0].name == "LICENSE.txt"
    assert read_licence(demo_base).text == "" and read_licence(demo_base).name == ""


def test_gemma_without_words_of_its_own_has_googles_terms(tmp_path: Path):
    licence = read_licence(config(tmp_path, "gemma3_text"))
    assert (licence.name, licence.text) == ("gemma", GEMMA_NOTICE) and licence.link.endswith("/gemma/terms")
