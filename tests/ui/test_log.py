import logging
from pathlib import Path

import pytest

from models.errors import UserError
from ui import log

SECRET = "quartz-lung-7731"


@pytest.fixture
def logged(tmp_path: Path):
    """A folder whose log is open; the text of all its log files."""
    log.begin(tmp_path)
    yield lambda: "".join(path.read_text() for path in sorted((tmp_path / log.FOLDER).iterdir()))
    log.end()


def test_our_records_are_kept(logged):
    logging.getLogger("galen.model").info("loaded in %.1f s", 1.25)
    logging.getLogger("galen").debug("a detail")
    assert "info galen.model: loaded in 1.2 s" in logged() and "a detail" not in logged()


def test_debug_keeps_more(tmp_path: Path):
    log.begin(tmp_path, is_debug=True)
    logging.getLogger("galen").debug("a detail")
    log.end()
    assert "debug galen: a detail" in (tmp_path / log.FOLDER / log.FILE).read_text()


def test_other_libraries_say_where_and_not_what(logged):
    logging.getLogger("uvicorn.error").warning("Invalid request for /x?q=%s", SECRET)
    logging.getLogger("httpx").error(f"GET {SECRET}")
    text = logged()
    assert SECRET not in text and "warning uvicorn.error" in text and "of test_log" in text


def test_a_traceback_keeps_places_and_kinds_and_no_words(logged):
    def fails(text: str) -> None:
        try:
            int(text)
        except ValueError as error:
            raise UserError(f"{text} is no number") from error

    for name in ("galen", "uvicorn.error"):
        try:
            fails(SECRET)
        except UserError:
            logging.getLogger(name).exception("a page handler failed")
    text = logged()
    assert SECRET not in text and "no number" not in text
    assert text.count("builtins.ValueError") == 2 and text.count("models.errors.UserError") == 2
    assert "tests/ui/test_log.py:" in text and "in fails" in text


def test_the_terminal_is_told_as_before(tmp_path: Path, capsys):
    log.begin(tmp_path)
    logging.getLogger("uvicorn.error").warning("what happened")
    log.end()
    assert "what happened" in capsys.readouterr().err


def test_files_stay_small_and_the_end_is_shown(tmp_path: Path):
    log.begin(tmp_path)
    for k in range(30_000):
        logging.getLogger("galen").info("line %d of many, and some more words to fill it", k)
    lines = log.last_lines(tmp_path)
    log.end()
    sizes = [path.stat().st_size for path in (tmp_path / log.FOLDER).iterdir()]
    assert len(sizes) == 1 + log.OLDER_FILES and max(sizes) <= log.MOST_BYTES
    assert len(lines) == log.SHOWN_LINES and "line 29999 of many" in lines[-1]
    assert log.last_lines(tmp_path / "none") == []


def test_a_log_that_can_not_be_written_is_said(tmp_path: Path):
    (tmp_path / log.FOLDER / log.FILE).mkdir(parents=True)
    with pytest.raises(UserError, match="log .* can not be written"):
        log.begin(tmp_path)
