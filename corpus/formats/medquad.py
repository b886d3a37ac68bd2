"""The questions and answers of MedQuAD documents (XML, as the National Library of Medicine publishes them)."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from corpus.config import DataConfig
from corpus.table import Rows, Table
from models.errors import UserError

COLUMNS = ("source", "doc", "url", "focus", "qid", "qtype", "question", "answer")     # as MedQuAD's JSONL has them
NO_QUESTION = "the document holds no question"
NO_ANSWER = "its answer is empty (MedQuAD leaves out the answers of some sources, for copyright)"
TEXTS = {"Focus": "focus", "Question": "question", "Answer": "answer"}


class _Fault(ValueError):
    """(line, why a document can not be read)."""


def read_documents(paths: Sequence[Path], file: str, config: DataConfig) -> Table:
    """One table of all documents, called file; each row names its own. One that can not be read is left out.

    Raises UserError if the only one can not be read.
    """
    rows = Rows(file, config.limit_rows)
    for path in paths:
        if rows.is_full():
            break
        try:
            _read(rows, path)
        except _Fault as fault:
            line, why = fault.args
            if len(paths) == 1:
                raise UserError(f"{path} can not be read: line {line}: {why}.") from fault
            rows.leave_out(line, why, str(path))
    return rows.table(COLUMNS)


def _read(rows: Rows, path: Path) -> None:
    import defusedxml.sax
    from defusedxml.common import DefusedXmlException
    document = _Document(rows, str(path))
    try:
        with path.open("rb") as data:
            defusedxml.sax.parse(data, document, forbid_dtd=True)
    except SAXParseException as error:
        raise _Fault(error.getLineNumber(), f"it is not whole XML ({error.getMessage()})") from error
    except DefusedXmlException as error:
        raise _Fault(1, "it declares a document type or entities, which may be harmful; take them out") from error
    if not document.count:
        rows.leave_out(1, NO_QUESTION, str(path))


class _Document(ContentHandler):
    """Hands each QAPair to rows; count: how many there were."""

    def __init__(self, rows: Rows, file: str) -> None:
        super().__init__()
        self.count = 0
        self._rows, self._file = rows, file
        self._about = dict.fromkeys(COLUMNS, "")        # of the whole document
        self._fields = self._about
        self._text: list[str] | None = None
        self._line = 0
        self._is_open = False

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        """Take attributes, begin to gather text."""
        if not self._is_open:
            self._begin(name, attrs)
        elif name == "QAPair":
            self._fields, self._line = dict(self._about), self._now()
        elif name == "Question":
            self._fields |= {"qid": attrs.get("qid", ""), "qtype": attrs.get("qtype", "")}
            self._line = self._now()
        if name in TEXTS:
            self._text = []

    def characters(self, content: str) -> None:
        """Gather text."""
        if self._text is not None:
            self._text.append(content)

    def endElement(self, name: str) -> None:
        """Keep a text; hand a finished pair over."""
        if name in TEXTS and self._text is not None:
            self._fields[TEXTS[name]] = "".join(self._text).strip()
            self._text = None
        elif name == "QAPair":
            self.count += 1
            if self._rows.is_full():
                return
            if self._fields["answer"]:
                self._rows.add(self._line, self._fields, self._file)
            else:
                self._rows.leave_out(self._line, NO_ANSWER, self._file)

    def _begin(self, name: str, attrs: AttributesImpl) -> None:
        self._is_open = True
        if name != "Document":
            raise _Fault(self._now(), f"it is XML, but no MedQuAD document (it begins with <{name}>); use CSV or JSONL")
        self._about |= {"source": attrs.get("source", ""), "doc": attrs.get("id", ""), "url": attrs.get("url", "")}

    def _now(self) -> int:
        return self._locator.getLineNumber()        # type: ignore[attr-defined]
