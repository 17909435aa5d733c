"""A text with an order about it ("Translate into Polish: ...") -> the two of them apart. Pure.

An order is known by its words, in the languages that most do it in, and ends where the text begins: at a colon, a
quotation mark, the end of a sentence or of a line. "Correct my invoice: ..." and "Summarise how it works" are none, for
they name no text (see the ADR on request text).
"""

from __future__ import annotations

import re
from typing import Final

ORDER_CHARS: Final = 200
"""What says what shall be done with a text is at most as long."""

_POLITE = (
    r"\W{0,4}(?:(?:please|pls|kindly|now|(?:can|could|would) you(?: please)?|bitte|(?:kannst|könntest) du|por favor|"
    r"per favore|s'il (?:te|vous) plaît|proszę|пожалуйста)[ ,]{1,2}){0,3}"
)
_TEXT = (
    r"(?:e-?mails?|mails?|messages?|text(?:e?s|e)?|letters?|paragraphs?|sentences?|articles?|posts?|reviews?|notes?|"
    r"drafts?|sätze?|absatz|nachricht|brief|artikel|bewertung|phrases?|courriel|lettre|avis|textos?|frases?|correo|"
    r"mensaje|carta|párrafo|reseña|testo|messaggio|lettera|mensagem|tekst|bericht|zdanie|wiadomość|текст|письмо|"
    r"сообщение|отзыв)"
)
_THIS = (
    r"(?:this|these|(?:the )?(?:following|above|below)|diese[nms]?|(?:d(?:as|en|ie) )?folgende[nms]?|ce|cet(?:te)?|ces|"
    r"est[ae]|quest[ao]|dit|deze|ten|tę|это[тй]?|эту)"
)
_THIS_TEXT = rf"[^\n]{{0,80}}?\b{_THIS} (?:(?:following|short|attached) )?{_TEXT}\b"
_THE_TEXT = rf"[^\n]{{0,40}}?\b(?:the|den?|das|die|le|la|el|il|lo|o) {_TEXT}\b"

_WORKED_ON = (
    r"(?:translate|summari[sz]e|sum up|tl;?dr|proof-?read|re(?:write|word|phrase)|paraphrase|shorten|simplify|"
    r"übersetze?n?|fass[et]{0,2}|kürzen?|formuliere?n?|"
    r"tradui(?:s|re|sez)|résume[rz]?|reformule[rz]?|traduc(?:e|ir|i)|resum[ea](?! this\b)|reescrib[ea]|"
    r"traduz(?:a|ir)?|riassumi|riscrivi|vertaal|herschrijf|przetłumacz|streść|переве(?:ди|дите|сти)|перескажи(?:те)?)"
)
"""What is done to a text, if to nothing else that is named: "my registry", "the queue"."""
_HOW = (
    r"(?:this|these|that|it|(?:the )?(?:following|above|below)|(?:in)?to|in|as|for|so|more|das|dies|folgendes|bitte|"
    r"mir|ins|auf|nach|zusammen|ce|ceci|en|vers|plus|esto|lo|al?|más|questo|isto|dit|naar|para|na|это|на)"
)
_MENDED = r"(?:fix|correct|check|improve|polish|edit|korrigiere?n?|corrige[rz]?|correggi|popraw|исправь(?:те)?)"
_FAULTS = (
    r"(?:grammar|spelling|typos?|punctuation|wording|rechtschreibung|grammatik|orthographe|grammaire|ortografía|"
    r"gramática|grammatica|ortografia|ошибки)"
)
_ORDER = re.compile(
    rf"{_POLITE}(?:"
    rf"{_WORKED_ON}(?:\W{{0,4}}\Z|,? {_HOW}\b|{_THIS_TEXT}|{_THE_TEXT})|"
    r"translate (?:from )?\w{2,20} (?:in)?to\b|"
    rf"{_MENDED}(?:[^\n]{{0,60}}\b{_FAULTS}\b|{_THIS_TEXT})|"
    r"(?:make|turn|put) (?:this|these|it|the following)\b[^\n]{0,40}\b"
    r"(?:sound|more|less|into|simple|(?:short|long|friendli|polit|nic|simpl|clear|kind)er)\b|"
    rf"what(?:'s| is) the [^\n]{{1,40}} (?:of|in){_THIS_TEXT}|"
    rf"is{_THIS_TEXT}[^\n]{{0,20}} (?:positive|negative|polite|rude)\b|"
    r"(?:classify|rate|detect|determine|what(?:'s| is) the)\b[^\n]{0,60}\b(?:sentiment|tone|mood)\b|"
    r"(?:classify|rate)\b[^\n]{0,60}\b(?:positive|negative)\b|"
    rf"(?:write|draft|suggest|give me(?! an answer)) (?:an?|some|two|three|five)\b(?:{_THIS_TEXT}|"
    rf"[^\n]{{0,40}} (?:reply|answer|response) to (?:this|the following) (?:customer|guest)\b)|"
    rf"reply{_THIS_TEXT}[^.!?]*\Z|"
    rf"(?:list|extract){_THIS_TEXT})",
    re.IGNORECASE,
)
_TOPIC = re.compile(
    rf"{_POLITE}(?:summari[sz]e|sum up|tl;?dr)\W{{0,4}}(?:how|what|why|when|where|which|who)\b", re.IGNORECASE
)
"""What is to be told in a few words, rather than a text that is there."""
_CODE = re.compile(r"```|[{};][ \t]*(?:\n|\Z)|\b(?:def|class|function) \w{1,40}[(:]| [=!]= |=>|\\[a-z\[]|\$[a-z(]")
"""What is to be done with code or with a formula depends on it."""
_ENDS = re.compile(r"[:\uff1a](?![\d/])|[.!?](?=\s)|\n|(?=[\"“„«])|(?<=\s)(?=['\u2018]\w)")
_QUOTED = re.compile(r"[\"“„«][^\"”“»]*[\"”“»]?|['\u2018](?:[^'\u2019]|['\u2019](?=\w))*['\u2019]?")
_GREETING = re.compile(
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening)|hallo|guten (?:morgen|tag|abend)|bonjour|salut|hola|"
    r"buenos días|ciao|buongiorno|olá|bom dia|dzień dobry|cześć|привет|здравствуйте)"
    r"(?: (?:there|all|again|everyone|team|zusammen))?\s{0,2}[,!.:]?\s{1,4}(?=\S)",
    re.IGNORECASE,
)
"""Before an order it is no part of it."""
_PARAGRAPH = re.compile(r"\n[ \t]*\n")


def order_and_text(text: str) -> tuple[str, str]:
    """An order that `text` begins with or its last paragraph consists of, and what it is about; both empty if none is.

    Linear in the length.
    """
    whole = text = text.strip()
    if greeting := _GREETING.match(text):
        text = text[greeting.end() :]
    end = _ENDS.search(text, 0, ORDER_CHARS)
    if end is not None and not _TOPIC.match(text) and not _CODE.search(text, end.end()):
        about, rest = text[end.end() :], ""
        if quoted := _QUOTED.match(about):
            about, rest = quoted[0], about[quoted.end() :]
        order = text[: end.end()].rstrip() + rest[:ORDER_CHARS].rstrip()
        if _ORDER.match(order):
            return order, about
    last = _PARAGRAPH.split(whole)[-1]
    if len(last) <= ORDER_CHARS and _ORDER.match(last):
        return last, whole[: -len(last)]
    return "", ""
