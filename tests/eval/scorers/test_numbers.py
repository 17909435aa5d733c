from __future__ import annotations

import pytest

from eval.scorers.choice import choice, picked
from eval.scorers.latex import boxed
from eval.scorers.numeric import number_of, numeric

CITIES = ["Calcutta", "Bombay", "Cambodia", "Bali"]


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("25", "5", 0),  # the known trap: "25" ends with "5"
        ("5", "25", 0),
        ("12.5", "5", 0),
        ("-5", "5", 0),
        ("5.0", "5", 1),
        ("The total is 1,596 dollars.", "1596", 1),
        ("She has 3 apples and buys 4, so 7.", "7", 1),
        ("The answer is 7, not 9.", "7", 1),
        ("Answer: 42, because 6 * 7", "42", 1),
        ("total=42 of 50", "42", 1),
        ("Answer: 7 + 5 = 12", "12", 1),  # what a sum comes to, and not what it begins with
        ("Answer: 7+5=12.", "12", 1),
        ("The total is 3 * 4 = 12.", "12", 1),
        ("The final answer is 20 - 8 = 12", "12", 1),
        ("The total is $20 - $8 = $12, not $13", "12", 1),
        ("The answer is 3 apples + 9 apples = 12 apples", "12", 1),
        ("The answer is 2 * (3 + 3) = 2 * 6 = 12", "12", 1),
        ("The answer is 12, not 13", "12", 1),
        ("Answer: 12 (of 20)", "12", 1),
        ("Answer: 12 = 7 + 5", "12", 1),
        ("Answer: 12, for 12 / 4 = 3", "12", 1),
        ("Answer: x = 12", "12", 1),
        ("I think it is 9. #### 7", "7", 1),
        (r"so \boxed{42} and done in 3 steps", "42", 1),
        ("$1,596.00", 1596, 1),
        ("1/2", "0.5", 1),
        ("7/0", "7", 0),  # no number
        ("1e3", "1000", 1),
        ("no number here", "5", 0),
        ("", "5", 0),
        ("360", "First, 60 x 6 = <<60*6=360>>360 girls.\n#### 360", 1),
        ("version 2.0.1", "1", 0),
        ("7 or 8", ["8", "9"], 1),
        ("\u22123", "-3", 1),
        (r"so \boxed{}", "5", 0),  # an empty box marks nothing
        (r"7 \boxed{}", "7", 1),
        (r"The answer is $\frac{1}{2}$.", "0.5", 1),
        (r"\boxed{\dfrac{3}{4}}", "0.75", 1),
        (r"\boxed{18{,}000}", "18000", 1),
        (r"$18\,000$ dollars", "18000", 1),
        ("18\u202f000 Euro", "18000", 1),
        (r"5\,km", "5", 1),
        ("The answer is not 5 but 6", "6", 1),
        ("The answer is 10^6", "1000000", 1),
        ("The answer is 3 x 10^5", "300000", 1),
        (r"\boxed{2.5 \times 10^{-3}}", "0.0025", 1),
        ("The answer is 2 * 3 x 10^2 = 600", "600", 1),
        ("x10^2 and 7", "7", 1),
        ("The answer is 1 1/2", "1.5", 1),
        ("The answer is 1.234,5", "1234.5", 1),
    ],
)
def test_numeric_compares_whole_numbers(answer: str, target: str | int | list[str], score: float) -> None:
    assert numeric(answer, target) == score


def test_a_number_is_none_where_there_is_none() -> None:
    assert number_of("nothing") is None
    assert number_of("The answer is seven; earlier I wrote 6.") == 6


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("C", 1),
        ("c", 1),  # nothing else is said
        ("c.\n", 1),
        ("a dog", 0),
        ("(c)", 1),
        ("c)", 1),
        (" (c). ", 1),
        ("(c) is a list's or a variable's", 0),
        ("C. Cambodia", 1),
        ("The answer is C.", 1),
        ("the correct option: (C)", 1),
        (r"\boxed{C}", 1),
        (r"\boxed{\text{C}}", 1),
        (r"$\boxed{\textbf{(C)}}$", 1),
        ("C is correct, because A is not in Asia", 1),
        ("**C** is the right answer.", 1),
        ("B is not correct", 0),
        ("It is in Cambodia, near Angkor.", 1),
        ("Either Cambodia or Bali.", 0),
        ("A dog is in Cambodia.", 1),  # the article is no choice
        ("A. no, on reflection the answer is C", 1),
        ("Cambodians", 0),
        ("D", 0),
        ("", 0),
    ],
)
def test_choice_reads_a_letter_or_the_text(answer: str, score: float) -> None:
    assert choice(answer, "C", CITIES) == score
    assert choice(answer, "Cambodia", CITIES) == score


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("Die richtige Antwort ist C.", "C"),
        ("Antwort: (D), denn A ist falsch", "D"),
        ("Richtig ist **Antwort B**", "B"),
        ("Die Lösung lautet C, nicht A.", "C"),
        ("Die Antwort ist nicht A.", None),
        ("La bonne réponse est la C.", "C"),
        ("Réponse : B", "B"),
        ("La réponse n'est pas B.", None),
        ("La respuesta correcta es la B.", "B"),
        ("La respuesta a la pregunta es D.", "D"),  # a small letter is a word
        ("Respuesta: A veces llueve.", None),  # a word of the language
        ("La opción D es correcta.", "D"),
        ("La risposta corretta è C.", "C"),
        ("La risposta e la domanda", None),
        ("Risposta: I gatti dormono", None),
        ("A resposta é a letra B.", "B"),
        ("Resposta: A capital é outra", None),
        ("Opção D", "D"),
    ],
)
def test_a_choice_is_announced_in_other_languages_too(answer: str, letter: str | None) -> None:
    assert picked(answer, ("x1", "x2", "x3", "x4")) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The answer is Cambodia", "C"),  # its last letter is no choice
        ("The answer is Bali.", "D"),
        ("The correct answer is Bombay", "B"),
        ("Answer: I think Bali", "D"),
        ("Answer: I'd say C", "C"),
        ("The answer is a city called Bombay", "B"),
        ("The answer is not A but C", "C"),
        ("Answer: c because it is", "C"),
        ("The answer is A because it is", "A"),
        ("The best choice: Cambodia (C)", "C"),
        ("Of all the choices, Bali is the one", "D"),
        ("Bombay is a choice made in haste", "B"),
        ("Answer: F", None),
    ],
)
def test_the_end_of_a_word_and_what_is_not_meant_are_no_letters(answer: str, letter: str | None) -> None:
    assert picked(answer, CITIES) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("dark blue", "D"),
        ("The answer is dark blue.", "D"),
        ("dark blue, dark blue", "D"),
        ("blue", "C"),
        ("It is blue", "C"),
        ("Either blue or dark blue", None),
    ],
)
def test_a_choice_within_the_text_of_a_longer_one_is_not_named_by_it(answer: str, letter: str | None) -> None:
    assert picked(answer, ["red", "green", "blue", "dark blue"]) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The correct answer is B.\n\nOption A is incorrect.\nOption C is incorrect.\nOption D is incorrect.", "B"),
        ("**Answer: B**\n\nExplanation: Options A and C are wrong; option D is not in France.", "B"),
        ("The answer is B) Paris. Choice D (Madrid) is the capital of Spain.", "B"),
        ("B. Option A is the capital of Italy.", "B"),
        ("The answer is (B). Option (A) is not in France.", "B"),
        ("Answer: B\nExplanation: choice A fails because it is in Italy", "B"),
        ("Die Antwort ist B. Option A ist falsch.", "B"),
        ("La respuesta es B. La opción D no es de Francia.", "B"),
        ("Option A is incorrect. Option B", "B"),
        ("Option B, because option A is elsewhere", "B"),
        ("A. Paris\nB. London\n\noption B", "B"),
        ("The answer cannot be A. It is D.", "D"),
        ("It isn't A. I'd go with D", "D"),
        ("I think it's C because of Angkor", "C"),
        ("I choose option C", "C"),
        ("答案是 C。", "C"),
        ("It is A small town", None),
    ],
)
def test_who_explains_an_answer_names_the_other_choices_too(answer: str, letter: str | None) -> None:
    assert picked(answer, ("x1", "x2", "x3", "x4")) == letter


def test_an_answer_may_pick_nothing() -> None:
    assert picked("I would not say.", CITIES) is None
    assert choice("whatever", "Atlantis", CITIES) == 0


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        (r"thus $\boxed{\frac{1}{2}}$", r"\boxed{\dfrac12}", 1),
        (r"\boxed{x + 1}", r"\boxed{x+1}", 1),
        (r"\boxed{56}", r"so $a=\boxed{56}$.", 1),
        ("the answer is 56", r"\boxed{56}", 1),
        ("the answer is 156", r"\boxed{56}", 0),
        (r"\boxed{3}", r"\boxed{x^3}", 0),
        (r"\boxed{\sqrt{2}}", r"\boxed{\sqrt{2}}", 1),
        ("1596", "1596", 1),
        (r"\boxed{", r"\boxed{1}", 0),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 1),  # a target without a box is the expression
        (r"\boxed{\frac{3}{2}}", r"\frac{1}{2}", 0),
        (r"\boxed{(1,2)}", "(2,1)", 0),
        (r"\boxed{y^2}", "x^2", 0),
        ("$x^2$", "x^2", 1),
        (r"\boxed{\text{Sunday}}", r"\text{Sunday}", 1),  # a text that is all there is counts, one behind it is a unit
        (r"\boxed{\text{Sunday}}", "Sunday", 1),
        (r"\boxed{\text{Monday}}", r"\text{Sunday}", 0),
        (r"\boxed{\text{(C)}}", r"\text{(A)}", 0),
        ("", r"\text{(A)}", 0),
        (r"\boxed{3\text{ cm}}", "3", 1),
        (r"\boxed{}", "5", 0),
    ],
)
def test_boxed_compares_expressions(answer: str, target: str, score: float) -> None:
    assert boxed(answer, target) == score
