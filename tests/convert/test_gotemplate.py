import json
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from convert.gotemplate import PROOF, conversation, read_form
from convert.probes import SYSTEM_TALKS, TALKS
from models.errors import UserError
from tasks.prompt import folded
from tasks.template import rendered, takes_system
from tests.tasks.families import CHATML, GEMMA_1, GEMMA_2, LLAMA_3

GEMMA_3 = """{{ bos_token }}
{%- set prefix = '' -%}
{%- if messages[0]['role'] == 'system' -%}
    {%- set prefix = messages[0]['content'] + '\n\n' -%}
    {%- set messages = messages[1:] -%}
{%- endif -%}
{%- for message in messages -%}
    {{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' }}
    {{- prefix if loop.first else '' }}{{ message['content'] | trim }}{{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""
QWEN_3 = """{%- if tools %}{{ tools }}{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' and loop.last %}
        {{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message.content.lstrip('\n') + '<|im_end|>\n' }}
    {%- elif message.role != 'system' %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
QWEN_25 = CHATML.replace("{% for", """{% if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\nYou are Qwen, a helpful assistant.<|im_end|>\n' }}
{% endif %}{%- for""", 1)
LLAMA_31 = """{{- bos_token }}{% if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}{% set messages = messages[1:] %}
{%- else %}{% set system = '' %}{% endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n' + system + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
TEMPLATES = {"gemma1": GEMMA_1, "gemma2": GEMMA_2, "gemma3": GEMMA_3, "chatml": CHATML, "qwen3": QWEN_3,
             "qwen2.5": QWEN_25, "llama3": LLAMA_3, "llama3.1": LLAMA_31}


@dataclass(frozen=True)
class Named:
    """The texts of a tokenizer."""
    template: str
    bos: str = "<bos>"
    eos: str = "<eos>"
    controls: frozenset[str] = frozenset({"<bos>", "<start_of_turn>", "<end_of_turn>"})

    def encode(self, text: str, *, control: bool) -> list[int]:
        raise AssertionError("no text is encoded for a template")


def wanted(turns: list[dict[str, str]], tokenizer: Named) -> str:
    """What tasks/prompt.py renders, without the BOS, which Ollama adds."""
    template, bos, eos = tokenizer.template, tokenizer.bos, tokenizer.eos
    if turns[0]["role"] == "system" and not takes_system(template, bos, eos):
        turns = folded(turns)
    return rendered(template, turns, bos, eos, is_open=True).removeprefix(bos)


def talks() -> list[list[dict[str, str]]]:
    """Conversations for every template: those of the check, of the proof, and some with spaces of all kinds."""
    chance = random.Random(0)

    def text() -> str:
        return "".join(chance.choices(" \t\n\r\v\x1c\x85\xa0\u2003\u3000ab{}\"\\é糖👩", k=chance.randint(1, 11))) + "x"

    random_ones = [[text() for _ in range(chance.choice((2, 4, 6)))] for _ in range(20)]
    plain = [["", *turns] for turns in TALKS] + [list(pair) for pair in SYSTEM_TALKS]
    return [conversation(*texts) for texts in [*PROOF, *plain, *random_ones]]


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ollama's way to render a template, as a program; the test is skipped, visibly, where Go is missing."""
    if not shutil.which("go"):
        pytest.skip("needs Go (Debian: golang-go)")
    program = tmp_path_factory.mktemp("go") / "render"
    subprocess.run(["go", "build", "-o", str(program), str(Path(__file__).with_name("render.go"))], check=True,
                   env={"PATH": "/usr/bin:/bin:/usr/local/bin:/usr/local/go/bin", "HOME": str(program.parent)})
    return program


def rendered_by(render: Path, jobs: list[dict[str, Any]]) -> list[str]:
    done = subprocess.run([render], input=json.dumps(jobs), capture_output=True, encoding="utf-8", check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_go_template_writes_what_the_jinja_template_does(render: Path, name: str):
    tokenizer = Named(TEMPLATES[name])
    form, conversations = read_form(tokenizer), talks()
    jobs = [{"template": form.go(), "messages": turns} for turns in conversations]
    for turns, got in zip(conversations, rendered_by(render, jobs), strict=True):
        assert got == wanted(turns, tokenizer), turns
        assert got == form.rendered(turns)


def test_the_embedded_models_template_too(render: Path, demo_base: Path):
    tokenizer = Named((demo_base / "chat_template.jinja").read_text(encoding="utf-8"))
    turns = conversation("Be brief. ", " What is asthma?", "A disease.\n", "Of what?")
    jobs = [{"template": read_form(tokenizer).go(), "messages": turns}]
    assert rendered_by(render, jobs) == [wanted(turns, tokenizer)]
    assert "Be brief.\n\nWhat is asthma?<end_of_turn>" in wanted(turns, tokenizer)


def test_a_system_message_in_the_middle_of_ollamas_list_is_gathered(render: Path):
    """Ollama joins system messages and neighbours of one role before a template sees them."""
    turns = [{"role": "system", "content": "A"}, {"role": "user", "content": "1"}, {"role": "user", "content": "2"},
             {"role": "system", "content": "B"}]
    jobs = [{"template": read_form(Named(GEMMA_1)).go(), "messages": turns}]
    assert rendered_by(render, jobs) == ["<start_of_turn>user\nA\n\nB\n\n1\n\n2<end_of_turn>\n<start_of_turn>model\n"]


def test_the_bos_is_written_only_where_the_engine_does_not_add_it():
    assert "<bos>" not in read_form(Named(GEMMA_1)).go()
    assert read_form(Named(GEMMA_1), is_bos_added=False).begin == "<bos>"


@pytest.mark.parametrize(("template", "text"), [
    ("", "has no chat template, so there is none to write for Ollama"),
    ("{{ messages[-1]['content'] }}", "it drops or repeats the text of a turn"),
    ("{% for m in messages %}{{ loop.index }}{{ m['content'] | trim }}{% endfor %}", "can not be written for Ollama"),
    (CHATML.replace("message['content']", "message['content'] | upper"), "it drops or repeats the text of a turn"),
    (CHATML.replace("message['content']", "message['content'] | replace('  ', ' ')"), "no fixed strings give"),
    (CHATML.replace("message['content']", "(message['content'] if loop.index < 4 else 'cut')"), "can not be written"),
    ("{% for m in messages %}{% if loop.last %}{{ messages[0]['content'] }}{% endif %}[{{ m['content'] }}]{% endfor %}",
     "it drops or repeats the text of a turn"),
    ("{{ raise_exception('no') }}", "refuses these messages: no"),
])
def test_a_template_without_such_a_form_is_refused(template: str, text: str):
    with pytest.raises(UserError, match=text):
        read_form(Named(template))
