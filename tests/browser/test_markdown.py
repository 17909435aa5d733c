"""Answers in Markdown, in a real browser: what is understood becomes elements, everything else stays as written."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.browser.chromium import Browser
from tests.browser.conftest import PAYLOADS
from tests.browser.test_playground import page, say
from tests.service.server import Server, rows, write_registry

__all__ = ["page"]

ANSWER = """# Two ways

Use **bold** or *italic*, and `a_b*c*d`:

1. First
   ```python
   if x:
       y = "<b>**"
   ```
2. Second
   - deeper

[a link](javascript:alert(1)) and 2 * 3 * 4
"""

SHOWN = {
    "plain": "<p>plain</p>",
    "one\ntwo\n\nthree": "<p>one\ntwo</p><p>three</p>",
    "## A **b**\ntext": "<h4>A <strong>b</strong></h4><p>text</p>",
    "#tag and 5 * 3 * 2": "<p>#tag and 5 * 3 * 2</p>",
    "a ** b ** c, **d": "<p>a ** b ** c, **d</p>",
    "**a *b* `c*`** *d*": "<p><strong>a <em>b</em> <code>c*</code></strong> <em>d</em></p>",
    "``a ` b``": "<p><code>a ` b</code></p>",
    "- a\n- b\n  - c\n\n- d": '<ul dir="auto"><li>a</li><li>b<ul dir="auto"><li>c</li></ul></li><li>d</li></ul>',
    "3. c\n4. d": '<ol dir="auto" start="3"><li>c</li><li>d</li></ol>',
    "- a\n1. b": '<ul dir="auto"><li>a</li></ul><ol dir="auto"><li>b</li></ol>',
    "```js\na < b\n```\nend": '<pre tabindex="0"><code>a &lt; b</code></pre><p>end</p>',
    "```\n**open": '<pre tabindex="0"><code>**open</code></pre>',
    "````\n```\n````": '<pre tabindex="0"><code>```</code></pre>',
    "- a\n  ```\n    b\n  ```\n- c": '<ul dir="auto"><li>a<pre tabindex="0"><code>  b</code></pre></li><li>c</li></ul>',
    "| a | b |\n|---|---|": "<p>| a | b |\n|---|---|</p>",
    "__init__ and snake_case_name": "<p>__init__ and snake_case_name</p>",
    "": "",
}


def shown(page: Browser, text: str) -> str:
    """The elements that a text becomes, written out."""
    script = """const [text, done] = arguments;
      import('/web/js/markdown.js').then(({ rendered }) => {
        const host = document.createElement('div');
        host.append(...rendered(text));
        done(host.innerHTML);
      });"""
    return str(page.chrome.execute_async_script(script, text))


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_understood_and_what_stays_as_it_is(page: Browser, text: str) -> None:
    assert shown(page, text) == SHOWN[text]


def test_markup_in_markdown_stays_text(page: Browser) -> None:
    for wrap in ("{}", "- {}", "# {}", "**{}**", "`{}`", "```\n{}\n```", "[x]({})"):
        text = "\n\n".join(wrap.format(payload) for payload in PAYLOADS)
        script = """const [text, done] = arguments;
          import('/web/js/markdown.js').then(({ rendered }) => {
            const host = document.createElement('div');
            host.append(...rendered(text));
            const tags = [...new Set([...host.querySelectorAll('*')].map((one) => one.localName))];
            done([tags, host.textContent]);
          });"""
        tags, content = page.chrome.execute_async_script(script, text)
        assert set(tags) <= {"p", "pre", "code", "ul", "ol", "li", "strong", "em", "h3"}
        assert [one for one in PAYLOADS if one.replace("`", "") not in content.replace("`", "")] == []
    assert page.complaints() == []


def test_an_answer_is_shown_and_also_as_it_was_written(browser: Browser, tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    rows(registry.parent / "poet.jsonl", [{"match": ".*", "reply": ANSWER}])
    server = Server(tmp_path, registry)
    try:
        browser.open(f"{server.start().base}/playground", width=400)
        say(browser, "a haiku on autumn", model="poet")
        browser.until(lambda: browser.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
        tags = "return [...document.querySelectorAll('.turn.expert .said *')].map((one) => one.localName).join(' ')"
        assert browser.js(tags) == "h3 p strong em code ol li pre code li ul li p"
        assert browser.js("return document.querySelector('.said pre').textContent") == 'if x:\n    y = "<b>**"'
        assert "[a link](javascript:alert(1)) and 2 * 3 * 4" in browser.text(".turn.expert .said")
        wide = "return document.documentElement.scrollWidth - innerWidth"
        assert browser.js(wide) <= 0
        button = browser.chrome.find_element(By.CSS_SELECTOR, ".turn.expert .who > [aria-pressed]")
        button.click()
        assert browser.js("return document.querySelector('.turn.expert .said').textContent") == ANSWER
        button.click()
        assert browser.js(tags).startswith("h3 p strong")
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)


PEACE = "\u05e9\u05dc\u05d5\u05dd"
"""Shalom, in Hebrew."""

FROM_THE_RIGHT = """
  const text = document.createTreeWalker(arguments[0], NodeFilter.SHOW_TEXT).nextNode();
  const left = (at) => {
    const range = document.createRange();
    range.setStart(text, at);
    range.setEnd(text, at + 1);
    return range.getBoundingClientRect().left;
  };
  return left(0) > left(text.length - 1);
"""
"""Whether the first character of an element stands to the right of its last one."""


def test_hebrew_is_read_from_the_right(browser: Browser, tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    rows(registry.parent / "poet.jsonl", [{"match": ".*", "reply": f"one {PEACE} two\n\n{PEACE} two\n\n- {PEACE} two"}])
    server = Server(tmp_path, registry)
    try:
        browser.open(f"{server.start().base}/playground")
        say(browser, f"{PEACE} haiku", model="poet")
        browser.until(lambda: browser.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
        said = browser.chrome.find_elements(By.CSS_SELECTOR, ".user .said, .expert .said p, .expert .said li")
        assert [browser.js(FROM_THE_RIGHT, each) for each in said] == [True, False, True, True]
    finally:
        server.stop(signal.SIGKILL)


LIST = f"1. {PEACE} two\n2. English here.\n3. {PEACE}\n   ```\n   x = 1\n   ```\n\n- English\n- {PEACE} two"

MARKS = """
  const [text, done] = arguments;
  import("/web/js/markdown.js").then(({ rendered }) => {
    const said = document.createElement("div");
    said.className = "said";
    said.append(...rendered(text + " and more of it".repeat(9)));
    document.getElementById("turns").replaceChildren(said);
    const range = document.createRange();
    done([...said.querySelectorAll("li, pre")].map((one) => {
      range.selectNodeContents(one.firstChild);
      const [words, box] = [range.getBoundingClientRect(), one.getBoundingClientRect()];
      const side = words.left - box.left < box.right - words.right ? "left" : "right";
      const list = one.closest("ol, ul").getBoundingClientRect();
      return [side, Math.round(box.left - list.left), Math.round(list.right - box.right)];
    }));
  });
"""
"""Of items and code: at which side their words stand, and how much room for marks is left and right of them."""


def test_the_marks_of_a_list_stand_where_its_words_begin(page: Browser) -> None:
    """Of a list in Hebrew at the right, and so an item in English that is a part of it; of code at the left as ever."""
    found = page.chrome.execute_async_script(MARKS, LIST)
    assert found[:3] == [["right", 0, 22]] * 3
    assert found[3] == ["left", 0, 22], "code"
    assert found[4:] == [["left", 22, 0]] * 2
