"""A text with an order about it is not the matter, the order is; but not all that looks like one is an order."""

from __future__ import annotations

from typing import Any

import pytest

from router.orders import ORDER_CHARS, order_and_text
from router.prompt import request_text, request_texts


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


COMPLAINT = (
    "Dear support,\n\nthe parcel with the two lamps arrived, and one of them is broken.\n\nKind regards, Tom Ebner"
)
LINE = "I was charged twice for order 4411, please refund one of them."


@pytest.mark.parametrize(
    "order",
    [
        "Translate into Polish:",
        "Could you please summarise this in one sentence?",
        "proofread this for me",
        "Give me a subject line for this email:",
        "What is the tone of the following message?",
        "Write a short, polite reply to this mail.",
        "Übersetze das ins Finnische:",
        "Corrige ce texte :",
        "Переведи на английский:",
    ],
)
def test_of_a_text_that_is_to_be_worked_on_only_the_order_is_asked(order: str) -> None:
    assert request_text([user(f"{order}\n\n{COMPLAINT}")]) == order
    assert request_text([user(f"{COMPLAINT}\n\n{order}")]) == order


@pytest.mark.parametrize(
    "order",
    [
        "Translate into Polish:",
        "Translate the following text into Polish:",
        "Translate French to English:",
        "Can you translate this for me into Dutch please?",
        "Please proofread:",
        "Summarize:",
        "Rewrite this more politely:",
        "Make it more formal:",
        "Fix the grammar:",
        "Check my spelling:",
        "Turn this into a haiku:",
        "Classify as positive or negative:",
        "What is the sentiment of this review?",
        "Is the following review positive or negative?",
        "Write a reply to this customer:",
        "Reply to this email:",
        "Extract the order number from this text:",
        "Übersetze ins Englische:",
        "Bitte korrigiere die Rechtschreibung:",
        "Fasse diesen Text zusammen:",
        "Traduis en anglais :",
        "Traduce al inglés:",
        "Resume este correo en una línea:",
        "Traduci in inglese:",
        "Traduza para o inglês:",
        "Vertaal naar het Engels:",
        "Przetłumacz na angielski:",
        "Исправь ошибки:",
    ],
)
def test_the_text_may_follow_in_the_same_line_or_in_the_next(order: str) -> None:
    for between in (" ", "\n", ' "'):
        assert request_text([user(f"{order}{between}{LINE}")]) == order


def test_a_text_in_quotation_marks_may_stand_within_the_order() -> None:
    for begin, end in ('""', "“”", "„“", "«»", "''", "\u2018\u2019"):
        assert request_text([user(f"Translate {begin}{LINE}{end} into French.")]) == "Translate into French."
        quoted = f"{begin}I don't know where order 4411 is{end}"
        assert request_text([user(f"Translate {quoted} into French.")]) == "Translate into French."


@pytest.mark.parametrize(
    "greeting", ["Hi, ", "Hello! ", "hello ", "Hi there,\n\n", "Hallo, ", "Bonjour ! ", "Привет, "]
)
def test_a_greeting_before_an_order_is_no_part_of_it(greeting: str) -> None:
    assert request_text([user(f"{greeting}translate this into Polish: {LINE}")]) == "translate this into Polish:"
    for text in (LINE, "Translate into Polish"):
        assert request_text([user(f"{greeting}{text}")]) == f"{greeting}{text}"


@pytest.mark.parametrize(
    "text",
    [
        COMPLAINT,
        "My problem is as follows:\n\nthe app closes as soon as I open the camera.",
        "Can you send me the return label again?\n\nI ordered two chairs and one has a crack.",
        "You charged my card twice.\n\nPlease correct this as soon as you can.",
        "The heating is cold.\n\nWhat is the matter with it?",
        f"{'Summarise what I have told you of my order so far. ' * 5}\n\n{COMPLAINT}",
        "Cancel my order: 60718, I found it cheaper elsewhere",
        "Fix this: the app crashes whenever I upload a photo",
        "Correct my invoice: it has the old address",
        "Check the message I got: payment failed, but the money is gone",
        "Make this right: you have charged me twice",
        "Put this on my order: two more cups please",
        "Shorten the queue: I have been on hold for forty minutes",
        "Hello, fix this: the app crashes whenever I upload a photo",
        "Hi, 'pending' is all that my order says, for a week now",
        "Resume my subscription: I paused it in June",
        "Resume my subscription.\n\nI paused it in June and cannot find the button.",
        "Resume this order: I had paused it until August",
        "What is this email? I never ordered anything from you",
        "What is the meaning of this? I was charged twice",
        "Please reply to this email. I have asked twice now",
        "Give me an answer to this mail at last! I wrote twice already",
        "Korrigieren Sie bitte meine Rechnung: die Adresse ist falsch",
        "Corrigez mon adresse : j'habite au 12 rue des Lilas",
        "Corrige la factura: falta el NIF de la empresa",
    ],
)
def test_what_somebody_writes_of_their_own_stays_whole(text: str) -> None:
    assert request_text([user(text)]) == text


@pytest.mark.parametrize(
    "text",
    [
        "Explain: how do I add an expert to Shoal?",
        "Summarize how the ledger works and what it keeps",
        "Summarise: what does a promise of two per cent mean in Shoal?",
        "Rewrite my registry: which key of the expert do I edit?",
        "Translate: good morning",
        "Translate this to Rust:\ndef total(rows):\n return sum(rows)",
        "Rewrite this in Python: function add(a, b) { return a + b; }",
        "Simplify\n\\[\\frac{1 + \\sin x}{\\cos x}.\\]",
        "What is the smallest positive integer with factors of 16 and 15?\nA. 240\nB. 120\nC. 60",
        "Simplify this:\n```python\nif a == b: return True\n```",
    ],
)
def test_a_topic_a_few_words_or_code_is_no_text_to_leave_out(text: str) -> None:
    assert request_text([user(text)]) == text


def test_an_order_with_its_text_leans_on_nothing_that_was_said_before() -> None:
    before = [user(LINE), {"role": "assistant", "content": "I am sorry."}]
    assert request_texts([*before, user(f"Translate into Polish: {COMPLAINT}")]) == ("Translate into Polish:",)
    assert request_text([*before, user("Translate into Polish:")]) == f"{LINE}\nTranslate into Polish:"


@pytest.mark.parametrize(
    "piece",
    [
        "translate ",
        "translate this: ",
        'translate "',
        "make this ",
        "please ",
        "\n \n",
        "{ ",
        "def x",
        ": ",
        '"',
        " 'a",
        "hi, ",
    ],
)
def test_a_hostile_text_takes_no_more_than_its_length(piece: str) -> None:
    """Quadratic matching of a million characters would meet the suite's time limit."""
    for begin in ("", "translate this: ", "please write a "):
        order, _ = order_and_text(begin + piece * (1_000_000 // len(piece)))
        assert len(order) <= 2 * ORDER_CHARS
