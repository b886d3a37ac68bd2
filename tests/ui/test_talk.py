"""The conversation in the terminal: presets and the red-flag notice."""

from tests.ui.test_commands import galen, refused

FLAGGED = "My dad has crushing chest pain and is sweating"


def test_the_notice_is_said_beside_the_answer(tmp_path):
    done = galen("chat", "demo", "--max-tokens", "5", home=tmp_path, input=f"{FLAGGED}\nWhat is asthma?\n")
    assert done.returncode == 0 and done.stderr.count("tokens/s") == 2
    assert done.stderr.count("112 in Europe, 999 in the UK, 911 in the US") == 1
    assert done.stderr.index("112 in Europe") < done.stderr.index("tokens/s") and "112" not in done.stdout


def test_a_preset_is_taken_by_name_and_an_unknown_one_refused(tmp_path):
    words = ("chat", "demo", "-p", FLAGGED, "--preset")
    done = galen(*words, "tutor", "--max-tokens", "5", home=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() and "112 in Europe" in done.stderr
    assert "no preset 'nurse'" in refused(*words, "nurse", home=tmp_path)
