"""A model in several files is read as one, and what is wrong with its parts is told."""

import shutil
from pathlib import Path

import pytest

from models.errors import UserError
from models.ggufs import ggufs_in
from models.header import read_header
from models.split import files_of, part_names, part_of, read_whole
from tests.models.places import rewritten


@pytest.fixture
def parts(tmp_path, demo_gguf):
    return rewritten(demo_gguf, tmp_path / "big.gguf", split=40)


def test_the_parts_together_say_what_the_whole_says(parts, demo_gguf):
    assert [path.name for path in parts] == part_names(parts[0].name) and len(parts) == 3
    whole, joined = read_header(demo_gguf), read_whole(parts[0])
    assert joined.parameters == whole.parameters and joined.type_name == whole.type_name
    assert {tensor.name for tensor in joined.tensors} == {tensor.name for tensor in whole.tensors}
    assert joined.bytes == sum(path.stat().st_size for path in parts) > read_header(parts[0]).bytes
    assert joined.ctx_tokens == 2048 and joined.template and joined.path == parts[0]
    assert read_whole(demo_gguf) == whole and files_of(parts[0]) == parts and files_of(demo_gguf) == [demo_gguf]


def test_a_missing_part_is_named(parts):
    parts[1].unlink()
    with pytest.raises(UserError, match="in several parts, and big-00002-of-00003.gguf is missing; put all of them"):
        read_whole(parts[0])
    parts[2].unlink()
    with pytest.raises(UserError, match="big-00002-of-00003.gguf and big-00003-of-00003.gguf are missing"):
        read_whole(parts[0])


def test_another_part_than_the_first_is_not_opened(parts):
    with pytest.raises(UserError, match="is part 2 of 3 of a model; choose the first, big-00001-of-00003.gguf"):
        read_whole(parts[1])


def test_a_part_cut_short_is_told_by_its_name(parts):
    parts[2].write_bytes(parts[2].read_bytes()[:-2000])
    with pytest.raises(UserError, match="big-00003-of-00003.gguf is cut short"):
        read_whole(parts[0])


def test_parts_of_different_models_are_told(parts, tmp_path, demo_gguf):
    (tmp_path / "other").mkdir()
    other = rewritten(demo_gguf, tmp_path / "other" / "big.gguf", split=50)
    assert len(other) == 3
    shutil.copy(other[2], parts[2])
    with pytest.raises(UserError, match="hold 86 tensors and the first one promises 106"):
        read_whole(parts[0])
    shutil.copy(parts[1], parts[2])
    with pytest.raises(UserError, match="big-00003-of-00003.gguf does not say of itself that it is part 3 of 3"):
        read_whole(parts[0])


def test_a_part_under_another_name_is_told(parts, tmp_path):
    shutil.copy(parts[0], tmp_path / "renamed.gguf")
    with pytest.raises(UserError, match="a part of a model in 3 parts, .* must end in -00001-of-00003.gguf"):
        read_whole(tmp_path / "renamed.gguf")


@pytest.mark.parametrize("name", ["a-00001-of-00000.gguf", "a-00009-of-99999.gguf", "a-1-of-2.gguf", "a.gguf"])
def test_names_that_are_none_of_a_part_are_taken_as_they_are(name):
    assert part_names(name) == [name]


def test_a_name_says_its_part():
    assert part_of("x-00002-of-00012.GGUF") == ("x", 2, 12) and part_of("x.gguf") is None
    assert part_names("x-00002-of-00003.GGUF")[2] == "x-00003-of-00003.GGUF"


def test_a_number_that_no_part_has_is_a_name_like_any_other(parts):
    for name in ("big-00000-of-00003.gguf", "big-00004-of-00003.gguf", "big-00001-of-00000.gguf"):
        assert part_of(name) is None and part_names(name) == [name]
    parts[0].with_name("big-00000-of-00003.gguf").write_bytes(b"junk")
    found = list(ggufs_in(parts[0].parent, sorted(path.name for path in parts[0].parent.glob("*.gguf"))))
    assert [(spot.path.name, len(spot.parts)) for spot in found] == [
        ("big-00000-of-00003.gguf", 0), ("big-00001-of-00003.gguf", 3)]


def test_thousands_of_lone_parts_cost_no_more_than_other_files():
    names = [f"x{number:04}-00001-of-00900.gguf" for number in range(3000)]
    found = list(ggufs_in(Path("models"), names))
    assert len(found) == 3000 and sum(len(spot.parts) for spot in found) == 3000     # none that is not there
    assert found[7].problem.startswith("This model is in several parts, and x0007-00002-of-00900.gguf, "
                                       "x0007-00003-of-00900.gguf and 897 more are missing")


@pytest.mark.parametrize("name", ["a-\u0660\u0660\u0660\u0660\u0661-of-00002.gguf", "a-00001-OF-00002.gguf",
                                  "a-00001-of-00002\n.gguf", "-00001-of-00002.gguf", "a-00001-of-00002"])
def test_what_llama_cpp_takes_for_no_part_is_none(name):
    assert part_of(name) is None and part_names(name) == [name]


def test_parts_of_two_splits_under_one_name_are_two_models():
    names = ["m-00001-of-00002.gguf", "m-00001-of-00003.gguf", "m-00002-of-00002.gguf"]
    whole, lone = ggufs_in(Path("models"), names)
    assert whole.parts == (names[0], names[2]) and not whole.problem
    assert lone.parts == (names[1],) and "m-00002-of-00003.gguf and m-00003-of-00003.gguf are missing" in lone.problem
