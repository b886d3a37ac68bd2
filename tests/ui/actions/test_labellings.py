"""What the classify page asks: labels as lines, what was learned in runs, one text and a file by either."""

import pytest

from models import runs
from models.errors import UserError
from tasks import classifier
from tasks.classify import Paper
from tests.tasks.fake_engine import FakeEngine
from tests.ui.actions.test_single import WritingSession
from tests.ui.fakes import wait_for
from ui.actions import classify, labellings
from ui.actions.classify import Form
from ui.actions.labellings import Choice, Labellings, Wanted, labelled, read_labels
from ui.actions.model import CurrentModel
from ui.settings import SettingsFile

ROWS = [("heart valve artery", "cardiology"), ("brain nerve seizure", "neurology")] * 12


@pytest.fixture
def model(galen_home, demo_gguf):
    current = CurrentModel(WritingSession(), SettingsFile(galen_home))
    current.preload(demo_gguf)
    wait_for(lambda: current.state.info)
    return current


@pytest.fixture
def learned(galen_home):
    """A run in which words alone were learned."""
    folder = galen_home / "runs" / "classify-20260101-120000"
    fitted = classifier.fit([Paper(text=f"{text} {k}") for k, (text, _) in enumerate(ROWS)],
                            [(label,) for _, label in ROWS])
    fitted.save(folder / runs.CLASSIFIER)
    runs.write_json(folder / runs.CONFIG, {"model": "demo"})
    return folder


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("abstract,label\nheart,cardiology\n")
    return str(path)


def test_labels_are_lines():
    text = "Cardiology : heart:  and vessels\n\n neurology\n"
    assert read_labels(text) == {"cardiology": "heart: and vessels", "neurology": ""}
    assert read_labels(labellings.written(read_labels(text))) == read_labels(text)


@pytest.mark.parametrize("text", [
    "Label\tMeaning\r\nCardiology\theart: and vessels\r\nneurology\t\r\n", "cardiology\theart: and vessels\nneurology",
    "label;description\ncardiology;heart: and vessels\nneurology;"])
def test_two_columns_of_a_table_can_be_pasted(text):
    assert read_labels(text) == {"cardiology": "heart: and vessels", "neurology": ""}


def test_a_tab_in_a_line_of_a_label_and_its_description_divides_nothing():
    text = "cardiology:\theart: and vessels\t\n\tneurology:\tbrain"
    assert read_labels(text) == {"cardiology": "heart: and vessels", "neurology": "brain"}


def test_a_semicolon_in_a_description_divides_nothing():
    assert read_labels("a: one; two\nb: three; four") == {"a": "one; two", "b": "three; four"}
    assert read_labels("one; two") == {"one; two": ""}


@pytest.mark.parametrize(("text", "told"), [
    (": heart", "names no label"), ("a|b", "names no label"), ("a\nA: x", "stands there twice")])
def test_lines_that_name_no_label_are_refused(text, told):
    with pytest.raises(UserError, match=told):
        read_labels(text)


@pytest.mark.parametrize(("text", "labels", "told"), [
    (" ", "a\nb", "no text yet"), ("x", "a", "not two labels"), ("x", "", "not two labels"),
    ("x", "\n".join(map(str, range(201))), "200 can be told apart"), ("x" * 1_000_001, "a\nb", "1,000,001 characters")])
def test_what_can_not_be_classified_is_refused(model, text, labels, told):
    with pytest.raises(UserError, match=told):
        Labellings(model).begin(text, Choice(labels=read_labels(labels)))


def test_the_language_model_says_that_it_is_not_calibrated():
    engine = FakeEngine(prefers={"heart": "cardiology"})
    choice = Choice(labels={"cardiology": "of the heart", "neurology": ""}, is_single=True)
    found = labelled(Wanted(text="A heart.", choice=choice), lambda: engine)
    assert found.sorted.labels == ("cardiology",) and "not calibrated" in found.about
    assert "- cardiology: of the heart" in engine.text(engine.scored[0][0])


def test_labels_that_leave_no_room_are_said(model):
    choice = Choice(labels={"cardiology": "heart " * 100, "neurology": ""})
    with pytest.raises(UserError, match="too long for this model"):
        labelled(Wanted(text="A heart.", choice=choice), lambda: FakeEngine(ctx_tokens=200))


def test_what_was_learned_decides_without_a_model(learned):
    choice = classify.choice(Form(by=learned.name, labels="ignored", how_many="several"))
    found = labelled(Wanted(text="heart valve", choice=choice), lambda: pytest.fail("no model is needed"))
    assert found.sorted.labels == ("cardiology",) and "linear model" in found.about
    assert labellings.classifiers() == [learned / runs.CLASSIFIER]


@pytest.mark.parametrize("by", ["no-such", "../x", "/etc"])
def test_what_was_never_learned_is_refused(learned, by):
    with pytest.raises(UserError, match="not here any more"):
        classify.choice(Form(by=by, labels="", how_many="single"))


def test_a_file_by_written_labels(model, rows):
    wish = classify.page_wish(model, rows, (), Form(by="", labels="b\na", how_many="single"))
    assert wish.config.labels == ("b", "a") and wish.config.single and wish.config.model == str(model.state.chosen)
    assert wish.needs_model and not wish.tables
    described = classify.page_wish(model, rows, (), Form(by="", labels="b: x\na", how_many="several"))
    assert described.config.labels == () and not described.config.single
    assert described.tables == {"descriptions": [("label", "meaning"), ("b", "x"), ("a", "")]}


def test_a_file_by_its_own_labels(model, rows):
    wish = classify.page_wish(model, rows, ("group=label",), Form(by="", labels="", how_many="several"))
    assert wish.config.labels == () and wish.config.columns == ("group=label",)


def test_a_file_by_rows_to_learn_from(model, rows):
    fast = classify.page_wish(model, rows, (), Form(by="", labels="a\nb", how_many="several", train="up.csv",
                                                    is_fast=True))
    assert fast.files == {"train": "up.csv"} and fast.config.fast and not fast.needs_model and not fast.config.labels
    both = classify.page_wish(model, rows, (), Form(by="", labels="", how_many="several", train="up.csv"))
    assert both.needs_model and not both.config.fast


def test_a_file_by_what_was_learned(model, rows, learned):
    wish = classify.page_wish(model, rows, (), Form(by=learned.name, labels="a\nb", how_many="single"))
    assert wish.config.classifier == str(learned / runs.CLASSIFIER) and wish.config.fast and not wish.needs_model
    assert not wish.config.single


@pytest.mark.parametrize(("form", "told"), [
    (Form(by="", labels="", how_many="single", is_fast=True), "learned from labelled rows"),
    (Form(by="", labels="only", how_many="single"), "not two labels"),
    (Form(by="classify-20260101-120000", labels="", how_many="single", train="up.csv"), "take one of them away")])
def test_wishes_that_do_not_fit_are_refused(model, rows, learned, form, told):
    with pytest.raises(UserError, match=told):
        classify.page_wish(model, rows, (), form)
