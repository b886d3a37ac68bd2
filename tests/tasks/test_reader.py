import pytest

from tasks.reader import read_choice, read_decision

DECISIONS = {
    "Yes": "yes", "yes.": "yes", "**Yes**, it does.": "yes", "YES - in all groups": "yes", '"Yes."': "yes",
    "Yes. However, no difference was found in women.": "yes", "Yes\n\nThe drug was not known to help.": "yes",
    "Yes the drug works.": "yes", "Yes, and no harm was seen.": "yes",
    "No": "no", "no.": "no", "No, it does not.": "no", "No: the trial was too small.": "no", "(No)": "no",
    "No it does not.": "no", "No.\nYes-men disagree.": "no", "No, yes-no questions are hard.": "no",
    "Maybe": "maybe", "Maybe not.": "maybe", "maybe, in some": "maybe", "Maybe. It is not known.": "maybe",
    "Answer: no": "no", "Answer: **Maybe**": "maybe", "The answer is yes.": "yes", "The answer is: No.": "no",
    "Final answer: yes": "yes", "The correct answer to this question is no, because it is rare.": "no",
    "It is not significant, so the answer is no.": "no", "Based on the abstract, yes.": "yes",
    "Is it safe? No, it is not.": "no", "In conclusion, maybe.": "maybe", "I would say yes.": "yes",
    "The results were mixed. Therefore, no.": "no", "\\boxed{yes}": "yes", "I believe the answer is maybe.": "maybe",
    "Yes is the correct answer.": "yes", "The answer would be “no”.": "no", "No - not in adults.": "no",
    "final_decision: no": "no", "Certainly, yes.": "yes", "No (p = 0.3)": "no", "no—it is not": "no",
    '{"answer": "no"}': "no", "<answer>yes</answer>": "yes", "Answer (yes/no/maybe): no": "no",
    "In summary: no.": "no", "The data are mixed.\n\nMaybe.": "maybe", "Definitely yes.": "yes",
    "Given the small trials, maybe.": "maybe", "- No": "no",
    # what decides nothing
    "": "", "   ": "", "yes?": "", "No.1 cause": "", "It is a no.": "", "No idea": "", "I don't know.": "",
    "I don't know": "", "Not known.": "", "Not at all.": "", "I know it.": "",
    "The diagnosis is unclear.": "", "A diagnosis of pneumonia": "", "Nothing is known": "", "North of it": "",
    "None.": "", "Nobody knows.": "", "Noteworthy results": "", "Yesterday it was": "", "Unknown": "", "Know it": "",
    "No evidence supports it.": "", "No significant difference was found.": "", "No doubt about it": "",
    "No one knows.": "", "No-one knows": "", "no longer in use": "", "The answer is no longer clear.": "",
    "Yes or no": "", "Yes/no": "", "yes / no / maybe": "", "yes, no, maybe": "", "Yes and no.": "", "No, yes": "",
    "Maybe yes, maybe no.": "", "Yes. No.": "", "maybe yes": "", "The answer is yes or no.": "",
    "Not yes.": "", "The answer is not yes.": "", "I would not say yes.": "", "I can't say yes or no.": "",
    "I don't think the answer is yes.": "", "I don't think that, in this case, the answer is yes.": "",
    "Whether the answer is yes is unclear.": "", "If the answer is no, stop.": "", "The answer could be yes.": "",
    "Yes. So the answer is no.": "", "Is the answer yes?": "", "Yes is not the right answer.": "",
    "There was no benefit.": "", "We found no effect; maybe later.": "", "Patients said yes to treatment.": "",
    "If it were safe, the answer would be yes.": "",
    "The answer isn't yes.": "", "This could mean yes, or it could mean no.": "",
}

OPTIONS = {"A": "Aspirin", "B": "Hypnozoite", "C": "Vitamin C", "D": "Aspirin and heparin"}
CHOICES = {
    "B": "B", "b": "B", "B.": "B", "(B)": "B", "B)": "B", "b)": "B", "**B**": "B", "[B]": "B", "B:": "B", '"B"': "B",
    "B) Hypnozoite": "B", "B. Hypnozoite": "B", "B Hypnozoite": "B", "B - Hypnozoite": "B",
    "B, because it relapses": "B",
    "A. Aspirin": "A", "A": "A", "A, since it is cheap.": "A", "A is correct.": "A", "D. Aspirin and heparin": "D",
    "B) ...": "B", "The answer is (C).": "C", "The answer is C": "C", "This is a case of B": "B",
    "This is a case of B.": "B", "Answer: C": "C", "answer: c": "C", "Answer:C": "C", "The correct option is D.": "D",
    "I would choose C.": "C", "The answer is not A but B.": "B", "B, not A.": "B", "The answer is B, not A.": "B",
    "A is wrong. The answer is C.": "C", "\\boxed{D}": "D", "It is not A; the answer is D.": "D",
    "I'm not sure, but the answer is B.": "B", "C is the best answer.": "C", "Option B": "B", "It is (B).": "B",
    "A. Aspirin\nB. Hypnozoite\nC. Vitamin C\nD. Aspirin and heparin\n\nThe answer is B.": "B",
    "B\n\nA 45-year-old man relapses.": "B", "B. A relapse needs it.": "B", "The diagnosis is B.": "B",
    "Hypnozoite": "B", "hypnozoite.": "B", "The answer is hypnozoite.": "B", "Aspirin and heparin": "D",
    "Aspirin.": "A",
    "Vitamin C": "C", "This is a case of hypnozoite.": "B", "The answer is vitamin C.": "C", "Final answer: (A)": "A",
    "A. Vitamin K was low, so the answer is A.": "A", "C. Vitamin C, because of the gums": "C",
    "A is incorrect, B is incorrect, C is correct.": "C", "D is my answer": "D", "A and C are wrong, so B": "B",
    "<answer>B</answer>": "B", '{"answer": "B"}': "B", "The answer isn't A. It's B.": "B",
    "B is right and C is wrong": "B",
    "I think B.": "B", "Definitely B.": "B", "Therefore, C.": "C", "Based on the findings, D.": "D", "B!": "B",
    "It relapses.\n\nB": "B", "The answer: (B) Hypnozoite": "B", "It's C.": "C", "I'd go with A.": "A",
    "B (Hypnozoite)": "B", "B (hypnozoite), because it relapses": "B", "- C": "C", "\u2022 C": "C",
    "If I had to choose, the answer would be B.": "B", "If forced to choose, I would say B.": "B",
    "All of it fits, but B fits best: B is the answer.": "B", "Not everything fits, but the answer is B.": "B",
    "The best choice would be C.": "C", "Correct answer: Hypnozoite": "B", "Probably hypnozoite.": "B",
    # what decides nothing
    "": "", "I don't know": "", "B?": "", "The answer is not (C).": "", "A: no. B: yes.": "", "Type B reaction": "",
    "C. Aspirin": "", "A. Hypnozoite": "", "B, C": "", "A or B": "",
    "A and B": "", "A/B": "", "A, B": "", "(A) or (B)": "", "B. C.": "",
    "The answer is A or B.": "", "Both A and B are correct.": "", "Neither A nor B.": "", "All of them": "",
    "A 45-year-old man with fever": "", "A lesion of the nerve": "", "A patient with malaria": "",
    "B cells are involved.": "", "Hepatitis B.": "", "This is hepatitis B.": "", "type A, probably": "",
    "a deficiency of vitamin B": "", "It is not B.": "", "The answer is not B.": "", "The answer isn't B.": "",
    "I don't think it is B.": "", "B is wrong.": "", "B is incorrect.": "", "(B) is unlikely.": "", "Is it B?": "",
    "A. The answer is B.": "", "B. Aspirin": "", "E": "", "The answer is E.": "", "Everything but nothing": "",
    "A. Aspirin\nB. Hypnozoite\nC. Vitamin C\nD. Aspirin and heparin": "", "Rather than A, something else.": "",
    "Use it instead of A.": "", "It could be B.": "", "Aspirin or hypnozoite": "", "Not hypnozoite.": "",
    "Everything but C": "", "All options but C.": "", "Anything but option C": "", "B (Aspirin)": "",
    "If it were chronic, the answer would be B.": "", "If it were chronic, B would be the answer.": "",
    "Hepatitis B is the answer.": "", "Type A is the correct one": "",
    "If B, then wait.": "", "Hypnozoite is what it is not": "", "Either B or C.": "", "Because": "", "Do it": "",
}


@pytest.mark.parametrize(("answer", "expected"), DECISIONS.items())
def test_a_decision_is_read_where_one_is_stated(answer: str, expected: str):
    assert read_decision(answer) == expected


@pytest.mark.parametrize(("answer", "expected"), CHOICES.items())
def test_a_choice_is_read_where_one_is_stated(answer: str, expected: str):
    assert read_choice(answer, OPTIONS) == expected


def test_long_answers_take_no_time():
    for text in ("the answer is " * 5000, "(" * 20_000, "A, " * 10_000, "yes, " * 10_000, "based on " * 5000):
        assert read_decision(text) in ("", "yes") and read_choice(text, OPTIONS) == ""
