"""Messages as plain words."""

import pytest

from tasks.safety.spelling import corrected
from tasks.safety.text import words_of


@pytest.mark.parametrize("text, words", [
    ("I can’t breathe!!!", "i cant breathe !"), ("can not, is not", "cant , isnt"), ("Mum's 38,5°C", "mum s 38.5 c"),
    ("he's 2yo, 30wks", "hes 2 year old , 30 weeks"), ("I'll I'd we're", "i will i would we are"),
    ("six-week-old", "6 week old"), ("he OD'd", "he overdosed"), ("a\n\nb", "a . b"), ("", ""), ("🙂 胸", "胸")])
def test_plain_words(text: str, words: str):
    assert " ".join(words_of(text).words) == words


def test_each_word_has_its_place():
    text = "Oh: he’s 2yo and can not breathe."
    found = words_of(text, start=0)
    assert [text[slice(*place)] for place in found.places] == [
        "Oh", ":", "he’s", "2", "yo", "yo", "and", "can not", "breathe", "."]
    assert words_of("pain", start=7).places == ((7, 11),)


@pytest.mark.parametrize("word, listed", [
    ("unconcious", "unconscious"), ("siezure", "seizure"), ("bleeeding", "bleeding"), ("paracetemol", "paracetamol"),
    ("chess", "chess"), ("garden", "garden"), ("stroll", "stroll"), ("xyzzyq", "xyzzyq"), ("seizure", "seizure")])
def test_one_mistake_is_corrected_and_other_words_stay(word: str, listed: str):
    assert corrected(word) == listed
