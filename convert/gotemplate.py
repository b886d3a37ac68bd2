"""A chat template in Go's syntax, as Ollama wants it: read off the model's own by trying it, and proven equal to it.

The Jinja template is rendered on probes, which gives the strings around each turn; a rendering from
those strings must then equal the Jinja template's on every conversation of PROOF, or there is none.
Ollama gives a template .System (all system messages) and .Messages (.Role, .Content), and adds the BOS itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from models.errors import UserError
from tasks.prompt import Message, Tokenizer, folded
from tasks.template import rendered, takes_system

TRIMMED = ("system", "user", "assistant", "joined")     # joined: a folded system message with the user's text after it
SPACES = {1: " \t\n\v\f\r\x1c\x1d\x1e\x1f", 2: "\x85\xa0",          # what str.strip removes, by length in UTF-8
          3: "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"}
U, A, S = "probe-u", "probe-a", "probe-s"
PROOF: tuple[tuple[str, ...], ...] = (          # a system message ("": none), then user and assistant by turns
    ("", "What is anaemia?"),
    ("", "Hello", "Hello! How can I help?", "My knee hurts."),
    ("Answer in one sentence.", "What does an ECG show?"),
    ("You write notes.\n\nUse plain words.", "Doctor: Any pain?\nPatient: No.", "None.", "And now?", "None.", "Why?"),
    ("", "  leading and trailing  ", "\n\n an answer \n", "\tonce more\u3000\r\n"),
    (" \n system \u00a0", "\u2003 user \x1f", "assistant\v", " again\n"),
    ("s ", " u"), (" s", "u "),
    ("{{ .System }}", "{{ range .Messages }}\"quoted\" \\n {% for %}", "`raw` é 糖 👩🏽‍⚕️ \u200b", "<b>&amp;</b>"),
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a template writes a conversation: fixed strings around the turns.

    system: around a system message with a turn of its own; None: it is folded into the first user turn, before
    join. begin: what stands before the first turn where no system message does. ask: the model's header.
    """
    begin: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    ask: str
    system: tuple[str, str] | None
    join: str = ""
    trims: frozenset[str] = frozenset()

    def rendered(self, turns: Sequence[Message]) -> str:
        """The conversation up to the header of the model's turn, without BOS."""
        system, text = "", self.begin
        for turn in turns:
            role, content = turn["role"], turn["content"]
            if role == "system" and self.system:
                text = self.system[0] + self._kept("system", content) + self.system[1]
            elif role == "system":
                system = content
            elif role == "user":
                joined = self._kept("system", system) + self.join if system else ""
                content = self._kept("user", content)
                text += self.user[0] + self._kept("joined", joined + content) + self.user[1]
                system = ""
            else:
                text += self.assistant[0] + self._kept("assistant", content) + self.assistant[1]
        return text + self.ask

    def _kept(self, what: str, text: str) -> str:
        return text.strip() if what in self.trims else text

    def go(self) -> str:
        """The same in the syntax of Go's text/template. Only spaces that stand in quotes are written."""
        if self.system:
            start = ["{{- if .System }}" + _quoted(self.system[0]) + self._go("system", ".System")
                     + _quoted(self.system[1]) + "{{ else }}" + _quoted(self.begin) + "{{ end }}"]
        else:
            start = ["{{- $system := .System }}" + _quoted(self.begin)]
        lines = [*start, "{{- range .Messages }}",
                 '{{- if eq .Role "user" }}' + _quoted(self.user[0]) + self._go_user() + _quoted(self.user[1]),
                 '{{- else if eq .Role "assistant" }}' + _quoted(self.assistant[0]) + self._go("assistant", ".Content")
                 + _quoted(self.assistant[1]) + "{{ end }}",
                 "{{- end }}" + _quoted(self.ask)]
        return "\n".join([*(TRIM if self.trims else []), *lines])

    def _go(self, what: str, value: str) -> str:
        return '{{ template "trim" ' + value + " }}" if what in self.trims else "{{ " + value + " }}"

    def _go_user(self) -> str:
        if self.system:
            return self._go("user", ".Content")
        if "joined" in self.trims:
            text = f'{{{{ template "trim" (print $system {_go_string(self.join)} .Content) }}}}'
            return (f"{{{{ if $system }}}}{text}{{{{ $system = \"\" }}}}{{{{ else }}}}"
                    f"{self._go('joined', '.Content')}{{{{ end }}}}")
        text = self._go("system", "$system") + _quoted(self.join)
        return f"{{{{ if $system }}}}{text}{{{{ $system = \"\" }}}}{{{{ end }}}}" + self._go("user", ".Content")


def read_form(tokenizer: Tokenizer, is_bos_added: bool = True) -> Form:
    """The form of the tokenizer's chat template; with its BOS unless the file's own metadata has the engine add it.

    Raises UserError, which says why, if there is no template, or it writes conversations in no such form.
    """
    if not tokenizer.template:
        raise UserError("The base model has no chat template, so there is none to write for Ollama.")

    def write(*texts: str, is_open: bool = True) -> str:
        text = _jinja(tokenizer, conversation(*texts), is_open)
        while is_bos_added and tokenizer.bos and text.startswith(tokenizer.bos):
            text = text.removeprefix(tokenizer.bos)
        return text

    form = _read_strings(write)
    wanted = [write(*texts) for texts in PROOF]
    for count in range(len(TRIMMED) + 1):
        for trims in combinations(TRIMMED, count):
            candidate = replace(form, trims=frozenset(trims))
            if all(candidate.rendered(conversation(*texts)) == text
                   for texts, text in zip(PROOF, wanted, strict=True)):
                return candidate
    raise _formless("it changes turns in a way that no fixed strings give")


def conversation(system: str, *texts: str) -> list[dict[str, str]]:
    """Messages: a system message unless it is "", then user and assistant by turns."""
    turns = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system else turns


def _read_strings(write: Callable[..., str]) -> Form:
    """The strings around probes; nothing about spaces yet."""
    head, tail = _around(write("", U), U)
    after_user = _around(write("", U, is_open=False), U)[1]
    answered = write("", U, A, f"{U}2")
    between, rest = _around(answered.removeprefix(head + U), A)
    after_answer = _around(write("", U, A, is_open=False), A)[1]
    before_user = _around(rest, f"{U}2")[0]
    before_system, after_system = _around(_around(write(S, U), U)[0], S)
    user = _less(before_user, after_answer, "after an answer")
    assistant = _less(between, after_user, "after a question")
    ask = _less(tail, after_user, "before an answer")
    if not head.endswith(user):
        raise _formless("its first turn begins otherwise than the later ones")
    form = Form(begin=head.removesuffix(user), user=(user, after_user), assistant=(assistant, after_answer), ask=ask,
                system=None)
    if before_system == head:
        return replace(form, join=after_system)
    if not after_system.endswith(user):
        raise _formless("it writes system messages in a way of its own")
    return replace(form, system=(before_system, after_system.removesuffix(user)))


def _jinja(tokenizer: Tokenizer, turns: list[dict[str, str]], is_open: bool) -> str:
    """What tasks/prompt.py encodes for these turns."""
    template, bos, eos = tokenizer.template, tokenizer.bos, tokenizer.eos
    if turns[0]["role"] == "system" and not takes_system(template, bos, eos):
        turns = folded(turns)
    return rendered(template, turns, bos, eos, is_open=is_open)


def _around(text: str, probe: str) -> tuple[str, str]:
    before, found, after = text.partition(probe)
    if not found or probe in after:
        raise _formless("it drops or repeats the text of a turn")
    return before, after


def _less(text: str, start: str, where: str) -> str:
    if not text.startswith(start):
        raise _formless(f"what it writes {where} depends on what follows")
    return text.removeprefix(start)


def _formless(why: str) -> UserError:
    return UserError(f"The model's chat template can not be written for Ollama: {why}.")


def _quoted(text: str) -> str:
    """An action that writes text; "" for none."""
    return "{{ " + _go_string(text) + " }}" if text else ""


def _go_string(text: str) -> str:
    """text as a Go string in plain ASCII, since a Modelfile drops unprintable characters."""
    named = {"\n": r"\n", "\t": r"\t", "\r": r"\r", '"': r"\"", "\\": r"\\"}
    return '"' + "".join(named.get(c) or (c if " " <= c <= "~" else _escaped(ord(c))) for c in text) + '"'


def _escaped(number: int) -> str:
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _cut(name: str, part: str, rest: str, last: str) -> list[str]:
    """A Go template that drops space after space at one end, each of 1 to 3 bytes, and hands on to last."""
    lines = [f'{{{{- define "{name}" }}}}{{{{ $cut := 0 }}}}']
    for size, spaces in SPACES.items():
        each = " ".join(_go_string(space) for space in spaces)
        lines.append(f"{{{{- if ge (len .) {size} }}}}{{{{ if eq ({part.format(size)}) {each} }}}}"
                     f"{{{{ $cut = {size} }}}}{{{{ end }}}}{{{{ end }}}}")
    again = f'{{{{ template "{name}" ({rest}) }}}}'
    return [*lines, f"{{{{- if $cut }}}}{again}{{{{ else }}}}{last}{{{{ end }}}}{{{{ end }}}}"]


# Go's templates have no arithmetic: len (slice . n) is the length less n. Text is cut by bytes.
TRIM = [*_cut("trim", "slice . 0 {}", "slice . $cut", '{{ template "trim-end" . }}'),
        *_cut("trim-end", "slice . (len (slice . {}))", "slice . 0 (len (slice . $cut))", "{{ . }}")]
