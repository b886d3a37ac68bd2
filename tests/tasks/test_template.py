"""A chat template from a model file is somebody else's program: it ends in time, at its size, with a sentence."""

import time

import pytest

from models.errors import UserError
from tasks.template import rendered

TURNS = [{"role": "user", "content": "Hi"}]
GROW = ("{{% set ns = namespace(x={start}) %}}{{% for i in range(60) %}}{{% set ns.x = {step} %}}{{% endfor %}}"
        "{{{{ ns.x }}}}")


def render(template):
    return rendered(template, TURNS, "<bos>", "<eos>", is_open=True)


@pytest.mark.parametrize("template", [
    "{{ 'a' * 1000000000000000 }}", "{{ [1] * 1000000000 }}", "{{ 9 ** (9 ** 9) }}", "{{ 'a'|center(1000000000) }}",
    "{{ 'a'.ljust(1000000000) }}", "{{ '%1000000000d' % 5 }}", "{{ '%*d' % (1000000000, 5) }}",
    "{{ '%1000000000d'|format(5) }}", "{{ '{:1000000000}'.format(5) }}", "{{ messages|tojson(indent=1000000000) }}",
    GROW.format(start="'aa'", step="ns.x ~ ns.x"), GROW.format(start="'aa'", step="ns.x + ns.x"),
    GROW.format(start="[1]", step="ns.x + ns.x"), GROW.format(start="'aa'", step="ns.x.replace('a', 'aaaa')"),
    GROW.format(start="'aa'", step="ns.x|replace('a', 'aaaa')"), GROW.format(start="99", step="ns.x * ns.x"),
    GROW.format(start="[1]", step="[ns.x] * 10"), GROW.format(start="[1]", step="[ns.x, ns.x]"),
    "{{ (range(99999)|list)|map('string')|join('x' * 9999) }}", "{{ 'a\\n' * 100000|indent(99999) }}",
    "{% for i in range(2000) %}{{ 'a' * 9000000 }}{% endfor %}", "{{ messages|slice(100000000)|list }}",
    "{{ lipsum(n=1000) }}",
])
def test_a_template_can_not_take_all_the_memory(template):
    start = time.monotonic()
    with pytest.raises(UserError, match="The model's chat template refuses these messages"):
        render(template)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("template", [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"])
def test_a_template_can_not_run_for_ever(template):
    start = time.monotonic()
    with pytest.raises(UserError, match="takes too long"):
        render(template)
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("template", [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "-" * 9000 + "1 }}", "{{ range(1000000) }}", "{{ strftime_now(5) }}", "{{ 1 / 0 }}", "{% include 'x' %}",
    "{% block a %}{{ self.a() }}{% endblock %}", "{{ 'x'|wordwrap(0) }}", "{{ messages|tojson(indent='x' * 9) + 1 }}",
    "{{ messages.__class__.__mro__[1].__subclasses__() }}"])
def test_a_mistake_of_a_template_is_a_sentence(template):
    with pytest.raises(UserError, match="The model's chat template refuses these messages"):
        render(template)


@pytest.mark.parametrize(("template", "text"), [
    ("{{ 'a' ~ 1 ~ messages[0].content }}", "a1Hi"),
    ("{{ 7 % 4 }}{{ 2 ** 3 }}{{ 1.5 * 2 }}{{ 'ab' * 2 }}", "383.0abab"),
    ("{{ '%s-%d' % ('a', 2) }}{{ '{}-{x}'.format(1, x=2) }}{{ '%s'|format('b') }}", "a-21-2b"),
    ("{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{{ m['role'] }}{% endfor %}", "0Trueuser"),
    ("{{ messages|map(attribute='content')|join(',') }}{{ [1] + [2] }}{{ ' é '|trim|tojson }}", 'Hi[1, 2]"é"'),
    ("{% set ns = namespace(n=0) %}{% for i in range(5) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "10"),
    ("{% macro f(x) -%}<{{ x }}>{%- endmacro %}{{ f('a') }}{{ 'a b'.replace(' ', '_') }}", "<a>a_b"),
    ("{% for i in [1, [2]] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}", "12"),
    ("{{ 'a\nb'|indent(2) }}{{ messages|tojson(indent=None)|length > 3 }}", "a\n  bTrue"),
])
def test_what_templates_really_write_stays_as_it_is(template, text):
    assert render(template) == text


def test_a_long_conversation_is_rendered_in_time():
    turns = [{"role": ("user", "assistant")[k % 2], "content": "word " * 100} for k in range(4000)]
    template = "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content']|trim ~ '</>' }}{% endfor %}"
    start = time.monotonic()
    assert len(rendered(template, turns, "", "", is_open=True)) > 2_000_000 and time.monotonic() - start < 2
