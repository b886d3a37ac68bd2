import sys

import pytest

from tasks.grounding import KINDS, marks
from tasks.grounding.said import Said

SAME = [                                        # a note, and a conversation that says it
    ("for 14 days", "Patient: For two weeks."),
    ("for two weeks", "Take it for fourteen days."),
    ("a 2-week history", "It has been a couple of weeks."),
    ("metoprolol 50 mg b.i.d.", "You take fifty milligrams of metoprolol twice a day."),
    ("metoprolol 50 mg BID", "metoprolol , 50 milligrams , two times a day"),
    ("500 mg 2x daily", "five hundred milligrams twice a day"),
    ("0.5 g daily", "five hundred milligrams every morning"),
    ("every 6 hours", "four times a day"),
    ("q6h p.r.n.", "every six hours as needed"),
    ("q.h.s.", "I take it every night."),
    ("20 mg q.d.", "Twenty M G once a day."),
    ("at bedtime", "before I go to bed"),
    ("3 times per week", "I swim three times a week."),
    ("once every two weeks", "every other week"),
    ("A 59-year-old man", "Doctor: How old are you? Patient: Fifty nine."),
    ("A 59 y/o man", "I'm fifty-nine years old."),
    ("72-year-old", "You just had your seventy second birthday."),
    ("Temperature 98.6", "ninety eight point six"),
    ("Temperature 98.6 F", "It was ninety eight six."),
    ("Hemoglobin A1c 7.2", "your a1c was seven point two"),
    ("BP 120/80", "one twenty over eighty"),
    ("BP 135/85 mmHg", "your pressure is a hundred and thirty five over eighty five"),
    ("SpO2 98%", "your oxygen is ninety eight percent"),
    ("grade 2/6 murmur", "a slight two out of six murmur"),
    ("pain 8/10", "with ten the worst, it is an eight"),
    ("seen on 11/5/92", "on the fifth of November, ninety two"),
    ("on October 2nd, 2008", "It was October second two thousand eight."),
    ("in 01/08", "in January O eight"),
    ("in 2007", "two thousand and seven"),
    ("since 1982", "back in eighty two"),
    ("since 1995", "in nineteen ninety five"),
    ("on January 3, 2021", "january third twenty twenty one"),
    ("in their 80's", "They were in their eighties."),
    ("0.125 mg", "point one two five milligrams"),
    ("1-1/2 packs a day", "a pack and a half a day"),
    ("one-half tablet daily", "half a tablet each day"),
    ("a 2.5-month-old", "two and a half months old"),
    ("1,500 mg", "fifteen hundred milligrams"),
    ("3 to 4 days", "three or four days"),
    ("3-4 days", "three, maybe four days"),
    ("10 to 20 mg", "from ten milligrams to twenty milligrams"),
    ("weighs 8 pounds 3 ounces", "eight pounds and three ounces"),
    ("is 5 feet 6 inches", "five foot six"),
    ("12 eggs", "a dozen eggs"),
    ("fourth grade", "in the 4th grade"),
    ("5 months pregnant", "twenty weeks pregnant"),
    ("1 week ago", "a week ago"),
    ("1 year ago", "last year"),
    ("an 18-month-old", "She is a year and a half."),
    ("Dr. Gutierrez", "you told dr. gutierrez-"),
    ("Tylenol", "I took some acetaminophen."),
    ("hydrochlorothiazide", "my HCTZ"),
    ("She lives in Easton.", "We live here in Easton."),
    ("metoprolol", "metropolol"),
    ("L4-L5 disc", "between l four and l five"),
    ("C5-6", "at c56"),
    ("1. Hypertension. 2. Diabetes. 3. Gout.", "blood pressure and sugar"),
    ("Physical Therapy, COVID-19, S1 and S2", "covid, therapy"),
    ("Martha's activities of daily living", "martha can dress herself"),
    ("UIHC", "to the U I H C"),
    ("a 30-pack-year history", "thirty pack years"),
    ("1 pack a day for 30 years, 30 pack years", "a pack a day for thirty years"),
    ("50% of the time", "half of the time"),
    ("on 3/4 she fell", "on march fourth"),
    ("vision 20/20", "twenty twenty vision"),
    ("at 11:30 a.m.", "around eleven thirty in the morning"),
    ("at 1:30 p.m.", "at half past one"),
    ("at 6:00", "at six"),
    ("10k steps", "ten thousand steps"),
    ("weekly", "every Sunday"),
    ("weekly", "I go on Sundays."),
    ("on 13/4/2020", "april thirteenth twenty twenty"),
    ("in the 1990s", "in the nineties"),
    ("3+ edema", "three plus edema"),
    ("for 72 hours", "for three days"),
    ("1. Diabetes Mellitus, Hyperlipidemia and Gastroesophageal Reflux Disease", "sugar, fats and heartburn"),
    ("one to two drinks per day", "a drink or two a day"),
    ("two drinks a day, two a day", "two a day, two drinks a day"),
    ("metformin 500 mg daily", "you're on five hundred of metformin every day"),
    ("Temperature 98.7 degrees F", "your temperature is ninety eight . seven and"),
    ("98.7 degrees and two dogs", "ninety ninety eight . seven . two dogs"),
    ("has 2 dogs", "he is ninety . two dogs"),
    ("seen at 7 years of age", "He was seven. It began seven months before."),
    ("in 4 to 6 days", "in four five six seven days"),
    ("on 06/30/04", "from June thirty two thousand and four"),
    ("sugar of 300 to 400", "in the three to four hundreds"),
    ("A D and C, A-Fib, Orthopedics", "a scraping, a flutter, and bones"),
    ("Weight 70 kg, lost 4.5 kg", "I weigh a hundred and fifty four pounds. I lost ten pounds."),
    ("Height 168 cm", "I'm five foot six."),
    ("Height 66 inches", "five feet and six inches"),
    ("Temperature 38 C", "one hundred point four fahrenheit"),
    ("Temperature 98.6", "thirty seven degrees"),
    ("a woman in her forties", "I'm forty three."),
    ("in her mid-50s", "She was fifty five years old."),
    ("WBC 12,500", "twelve thousand five hundred"),
    ("walks 2,500 steps", "two thousand five hundred steps"),
    ("1,250", "one thousand two hundred and fifty"),
    ("for a quarter of an hour", "for fifteen minutes"),
    ("for 45 minutes", "for three quarters of an hour"),
    ("at 12 noon", "at noon"),
    ("at 8:45", "a quarter to nine"),
    ("fever of 39.4 C", "a hundred and three"),
    ("in the early 2000s", "in two thousand two"),
    ("CD4 320", "three hundred twenty"),
    ("at 17:30", "half past five in the evening"),
    ("at 15:00", "at three in the afternoon"),
    ("Pain is 7/10.", "I'd say a seven."),
    ("twice a month", "every two weeks"),
    ("monthly", "every four weeks"),
    ("1-2 times/week", "once or twice a week"),
    ("one to two times a week", "once or twice weekly"),
    ("on Tues", "on tuesday"),
    ("is 13 months old", "How many months? Thirteen."),
    ("400 mg twice daily", "two hundred... no, four hundred milligrams in the morning and four hundred at night"),
    ("T 38,5 °C", "thirty eight point five"),
    ("38.5 °C", "it was 38,5 degrees"),
    ("2.5 mg", "I take 2,5 mg of it"),
    ("0.125 mg of digoxin", "0,125 mg of digoxin"),
    ("1.5 million", "one point five million"),
    ("on 03.03.2020", "on March third, 2020"),
    ("half a tablet every morning", "I take half a tablet in the morning"),
    ("aged 5 and 7", "ages 2,5 and 7"),
    ("T2DM, DM II and type-2", "it's type two diabetes"),
    ("Dr. Müller", "I see Dr. Mueller"),
    ("Dr. Özdemir", "I see Dr. Ozdemir"),
    ("ribs 4,5 broken", "ribs four and five are broken"),
    ("grade 1,2, and 3", "grades one, two and three"),
    ("Max 4 g/d", "up to four grams a day"),
    ("BD", "twice a day"),
    ("nocte", "I take it at night"),
]

OTHER = [                                       # a note, a conversation, what is marked, its kind
    ("lisinopril 80 mg daily", "forty milligrams of lisinopril a day", "80 mg", "dose"),
    ("lisinopril 40 mcg daily", "lisinopril 40 milligrams a day", "40 mcg", "dose"),
    ("lisinopril 50 mg", "lisinopril 20 mg a day, and I raise metoprolol, which you have had, to 50 mg", "50 mg",
     "dose"),
    ("metformin 500 mg t.i.d.", "metformin 500 mg twice a day", "t.i.d.", "frequency"),
    ("15 mg weekly", "15 milligrams a day . we talk weekly", "weekly", "frequency"),
    ("for 2 months", "for two weeks, I had a beer or two", "2 months", "number"),
    ("A 76-year-old", "I am sixty seven.", "76-year-old", "number"),
    ("A 70-year-old", "I am seventy six.", "70-year-old", "number"),
    ("2 weeks", "two and a half weeks", "2 weeks", "number"),
    ("BP 130/80", "one twenty over eighty", "130/80", "number"),
    ("on 11/6/92", "on November fifth ninety two", "11/6/92", "date"),
    ("in December", "in November", "December", "date"),
    ("in 1983", "in nineteen eighty two", "1983", "date"),
    ("on Monday", "on saturday", "Monday", "date"),
    ("has 5 children", "I have four kids and five dogs.", "5", "number"),
    ("Dr. Novak called", "doctor smith called", "Novak", "name"),
    ("referred by Dr. X", "My doctor sent me.", "X", "name"),
    ("moved to Wichita", "moved to Easton", "Wichita", "name"),
    ("takes Coumadin", "takes plavix", "Coumadin", "medicine"),
    ("Takes atenolol.", "takes plavix", "atenolol", "medicine"),
    ("A1c of 8.1", "a1c of eight", "8.1", "number"),
    ("every 8 hours", "every six hours", "every 8 hours", "frequency"),
    ("for three days", "", "three days", "number"),
    ("Her mother is 93 months old.", "She is ninety three.", "93 months old", "number"),
    ("lisinopril b.i.d.", "I take lisinopril daily. And the cream twice a day.", "b.i.d.", "frequency"),
    ("about a week ago", "a day ago", "a week", "number"),
    ("for 7 days", "Speaker 7: [00:07] Hello.", "7 days", "number"),
    ("at 11:45", "eleven thirty", "11:45", "number"),
    ("Prednisone", "I take prednisolone.", "Prednisone", "medicine"),
    ("Mr. Brown came", "Mr Green came", "Brown", "name"),
    ("50 mcg", "one fifty milligram tablet", "50 mcg", "dose"),
    ("A 13-month-old", "How old are you? I'm thirteen.", "13-month-old", "number"),
    ("a fortnight ago", "Your last one was five days ago.", "a fortnight", "number"),
    ("one week ago", "The last one was bad.", "one week", "number"),
    ("walks 500 steps", "two thousand five hundred steps", "500", "number"),
    ("Weight 75 kg", "I weigh a hundred and fifty four pounds.", "75 kg", "number"),
    ("Temperature 39 C", "one hundred point four fahrenheit", "39", "number"),
    ("a woman in her fifties", "I'm forty three.", "fifties", "number"),
    ("at 8:45", "a quarter to eight", "8:45", "number"),
    ("in the 2010s", "in two thousand two", "2010s", "number"),
    ("at 18:30", "half past five in the evening", "18:30", "number"),
    ("Pain is 8/10.", "I'd say a seven.", "8/10", "number"),
    ("3 times a week", "once or twice a week", "3 times a week", "frequency"),
    ("every other week", "once a week", "every other week", "frequency"),
    ("a sprain of stage 3", "a sprain of stage four", "3", "number"),
    ("type 1 diabetes", "type two diabetes, that's one thing", "1", "number"),
    ("T1DM", "type two diabetes, that's one thing", "1", "number"),
    ("Type 1 diabetes", "you are diabetic", "1", "number"),
    ("stage II cancer", "stage three cancer, two of them", "II", "number"),
    ("Digoxin 125 mg", "I take 0,125 mg of digoxin", "125 mg", "dose"),
    ("T 39.5 °C", "it was 38,5 degrees", "39.5 °", "number"),
    ("25 mg", "I take 2,5 mg of it", "25 mg", "dose"),
    ("on 4. 3. 2020", "on March third, 2020", "4. 3. 2020", "date"),
    ("2.5 million", "one point five million", "2.5 million", "number"),
    ("TDS", "twice a day", "TDS", "frequency"),
    ("QDS", "twice a day", "QDS", "frequency"),
    ("every morning", "it hurts this morning", "every morning", "frequency"),
]


@pytest.mark.parametrize(("note", "dialogue"), SAME)
def test_what_is_said_in_other_words_is_not_marked(note: str, dialogue: str):
    assert marks(note, dialogue) == []


@pytest.mark.parametrize(("note", "dialogue", "text", "kind"), OTHER)
def test_what_is_not_said_is_marked(note: str, dialogue: str, text: str, kind: str):
    found = marks(note, dialogue)
    assert [(mark.text, mark.kind) for mark in found] == ([(text, kind)] if text else [])
    for mark in found:
        assert note[mark.start:mark.end] == mark.text and mark.kind in KINDS and mark.why.endswith(".")


def test_a_mark_says_what_the_conversation_has_instead():
    assert '"40 milligrams"' in marks("lisinopril 80 mg", "lisinopril 40 milligrams")[0].why
    walks = "lisinopril 40 milligrams twice a day. I walk daily"
    assert '"twice a day"' in marks("lisinopril 40 mg daily", walks)[0].why


def test_both_ends_of_a_range_have_its_unit():
    assert [mark.text for mark in marks("for 3 to 4 days", "three to four weeks")] == ["3", "4 days"]


def test_marks_are_in_order_and_apart():
    note = "Dr. Novak gave 80 mg of atenolol t.i.d. on 3/4/2021 for 9 weeks."
    found = marks(note, "hello")
    assert [mark.kind for mark in found] == ["name", "dose", "medicine", "frequency", "date", "number"]
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))


def test_a_model_that_repeats_itself_does_not_hold_up_the_marks():
    doses = " ".join(f"{n} mg of metformin daily," for n in range(700))
    said, calls = Said(doses), 0

    def count(frame: object, event: str, value: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert [said.doses_of("metformin", "mass") for _ in range(700)][-1][:1]
        assert all(said.rates_after("metformin") for _ in range(700))
        assert all(said.rates_of(one) for one in said.of_dimension("mass"))
    finally:
        sys.setprofile(before)
    assert calls < 200_000                      # 700 of 700 of 700 were 343 million


def test_nothing_and_signs_alone():
    assert marks("", "") == [] == marks("!!! ... ///", "--- 1/ /2 ' s")
    assert marks("½ tablet", "half a tablet") == []
