"""Both pages for whoever reads and works them: contrast, keyboard, phones, themes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.test_dashboard import PANELS
from tests.browser.test_playground import say
from tests.service.server import Server, write_registry

LIGHT = """
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const found = parts(getComputedStyle(one).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const ratio = (...colours) => {
    const pair = colours.map(light);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
"""
"""How colours are compared: WCAG 2.2's contrast ratio, and the ground that an element stands on."""

CONTRAST = (
    LIGHT
    + """
  const words = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll("body *")]
    .filter((one) => words(one) && one.checkVisibility() && !one.closest(".aside, .skip, noscript, :disabled"))
    .map((one) => {
      const style = getComputedStyle(one);
      const found = ratio(parts(one instanceof SVGElement ? style.fill : style.color), ground(one));
      return [found, parseFloat(style.fontSize) >= 24 ? 3 : 4.5, one.outerHTML.slice(0, 120)];
    })
    .filter(([found, least]) => found < least);
"""
)
"""Texts whose contrast with what is behind them is under WCAG 2.2's level AA."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/dashboard", "/playground"])
def test_every_word_stands_out_from_its_ground(browser: Browser, server: Server, path: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.open(server.base + path)
    assert browser.js(CONTRAST) == []


EDGES = (
    LIGHT
    + """
  const [done] = [...arguments].slice(-1);
  const fields = [...document.querySelectorAll("textarea, select")].map((one) => [one.id,
    ratio(parts(getComputedStyle(one).borderTopColor), ground(one.parentElement))]);
  const names = ["--fallback", "--accent", ...Array.from({ length: 12 }, (_, at) => `--series-${at}`)];
  import("/web/js/theme.js").then(({ colour }) => done([...fields, ...names.map((name) =>
    [name, ratio(parts(colour(name)), ground(document.querySelector(".panel")))])]));
"""
)
"""How much fields' edges and the colours of curves, bars and dots stand out from what they lie on."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fields_and_curves_stand_out_too(browser: Browser, server: Server, scheme: str) -> None:
    """At three to one, as WCAG 2.2 asks of what is no text (1.4.11)."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.open(f"{server.base}/playground")
    found = browser.chrome.execute_async_script(EDGES)
    assert len(found) == 2 + 14
    assert [(name, contrast) for name, contrast in found if contrast < 3] == []


RINGS = (
    LIGHT
    + """
  for (const one of document.querySelectorAll("details")) one.open = true;
  const wanted = [...document.querySelectorAll("a, button, summary, select, textarea, [tabindex='0']")];
  return wanted.filter((one) => one.checkVisibility() && !one.disabled).map((one) => {
    one.focus();
    const { outlineStyle, outlineColor, outlineWidth } = getComputedStyle(one);
    return [one.outerHTML.slice(0, 80), document.activeElement === one, outlineStyle, parseFloat(outlineWidth) >= 2,
      ratio(parts(outlineColor), ground(one.parentElement)) >= 3];
  });
"""
)
"""Of whatever takes the focus: whether it does, and whether the ring around it stands out (WCAG 2.2, 1.4.11, 2.4.7)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("path", "least"), [("/dashboard", 30), ("/playground", 10)])
def test_what_has_the_focus_is_seen(browser: Browser, server: Server, path: str, least: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.open(server.base + path)
    browser.chrome.switch_to.active_element.send_keys(Keys.TAB)  # from here on the browser shows where the focus is
    rings = browser.js(RINGS)
    assert len(rings) >= least
    assert [ring for ring in rings if ring[1:] != [True, "solid", True, True]] == []


def test_everything_is_reached_by_keyboard(page: Browser) -> None:
    body = page.chrome.find_element(By.TAG_NAME, "body")
    seen = []
    for _ in range(60):
        page.chrome.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.chrome.switch_to.active_element
        if focused == body:
            break
        outline = page.js("return getComputedStyle(arguments[0]).outlineStyle", focused)
        seen.append((focused.tag_name, focused.text, outline))
    assert seen[0][:2] == ("a", "Skip to the figures")
    assert {outline for *_, outline in seen} == {"solid"}
    names = [text for _, text, _ in seen]
    for wanted in ("Dashboard", "Playground", "1 h", "All", "Energy", "Carbon"):
        assert wanted in names
    assert names.count("Show as table") == PANELS


def test_a_table_opens_and_a_measure_is_chosen_by_keyboard(page: Browser) -> None:
    summary = page.chrome.find_element(By.CSS_SELECTOR, ".panel details summary")
    summary.send_keys(Keys.ENTER)
    assert page.js("return document.querySelector('.panel details').open")
    money = next(
        one for one in page.chrome.find_elements(By.CSS_SELECTOR, ".panel .segments button") if one.text == "Money"
    )
    money.send_keys(Keys.SPACE)
    assert money.get_attribute("aria-pressed") == "true"
    told = page.text(".panel .summary")
    assert told.startswith("At most $") and "the fallback's bill is $" in told, "what cook costs is unknown"


@pytest.mark.parametrize("width", [360, 1280])
def test_names_on_the_map_are_large_enough_to_read(browser: Browser, server: Server, width: int) -> None:
    browser.open(f"{server.base}/dashboard", width=width)
    shown = "parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a"
    sizes = browser.js(f"return [...document.querySelectorAll('svg.map text')].map((one) => {shown})")
    assert sizes and min(sizes) >= 9.5
    outside = "one.getBBox().x < 0 || one.getBBox().x + one.getBBox().width > one.ownerSVGElement.viewBox.baseVal.width"
    assert browser.js(f"return [...document.querySelectorAll('svg.map text')].some((one) => {outside})") is False


@pytest.mark.parametrize("width", [320, 360, 720])
@pytest.mark.parametrize("path", ["/dashboard", "/playground"])
def test_a_phone_need_not_scroll_sideways(browser: Browser, server: Server, path: str, width: int) -> None:
    """Nor who enlarges: 1,440 points at twice the size are 720, 1,280 at four times 320 (WCAG 2.2, 1.4.10)."""
    browser.open(server.base + path, width=width)
    browser.js("for (const one of document.querySelectorAll('details')) one.open = true")
    if path == "/playground":
        say(browser, "write a poem about the sea")
        browser.until(lambda: browser.text("#receipt-body table"))
        widest = "999.999\\u00a0mWh more than before"
        browser.js(f"for (const one of document.querySelectorAll('#receipt-body td')) one.textContent = '{widest}'")
    wide = (
        "return [...document.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > arguments[0])"
    )
    within = "!one.closest('.scroll, pre, svg, .u-wrap, select')"
    inner = "[...document.querySelectorAll('.panel > :not(details, .aside)')]"
    inner += ".filter((one) => one.scrollWidth > one.clientWidth)"
    assert browser.js(f"return {inner}.map((one) => one.outerHTML.slice(0, 120))") == [], "nothing leaves its panel"
    beyond = browser.js(f"{wide}.filter((one) => {within}).map((one) => one.outerHTML.slice(0, 120))", width + 1)
    assert (beyond, browser.js("return document.documentElement.scrollWidth")) == ([], width)
    ends = "[...document.querySelectorAll('.headline h1, .headline h1 + p')].map((one) => one.getBoundingClientRect())"
    apart = browser.js(f"const [over, under] = {ends}; return Math.round(under.top - over.bottom)")
    assert apart >= 6, "the line below a headline keeps its distance"
    wide = "return [...document.querySelectorAll('.tile .figure')].map((one) => one.scrollWidth - one.clientWidth)"
    assert set(browser.js(wide)) <= {0}  # no figure is cut or broken
    assert browser.complaints() == []


def test_the_name_of_an_expert_stands_beside_its_dot(browser: Browser, server: Server) -> None:
    browser.open(f"{server.base}/dashboard", width=320)
    label = "[...document.querySelectorAll('.bars .label > span')].filter((one) => one.querySelector('.swatch'))"
    assert browser.js(f"return {label}.length") > 0
    browser.js(f"{label}.forEach((one) => {{ one.lastChild.textContent = 'gardening' }})")
    browser.js("document.querySelectorAll('.bars .value').forEach((one) => { one.textContent = '42.1 ms / 91.7 ms' })")
    tall = "one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)"
    assert {round(lines) for lines in browser.js(f"return {label}.map((one) => {tall})")} == {1}


def test_the_theme_is_switched_and_remembered(page: Browser, server: Server) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    before = page.js(paper)
    page.chrome.find_element(By.ID, "theme").click()
    after = page.js(paper)
    assert after != before
    page.open(f"{server.base}/dashboard")
    assert page.js(paper) == after
    page.js("localStorage.clear()")
    papers = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page.open(f"{server.base}/dashboard")
        papers.append(page.js(paper))
    assert set(papers) == {before, after}
    assert page.complaints() == []


def test_a_page_whose_key_is_revoked_keeps_what_it_shows_and_asks_for_another(browser: Browser, tmp_path: Path) -> None:
    env = {"SHOAL_API_KEYS": "a-key-of-a-client", "SHOAL_ADMIN_KEY": "an-admin-key-of-some-length"}
    running = Server(tmp_path, write_registry(tmp_path), env).start()

    def give(key: str) -> None:
        browser.until(lambda: browser.js("return document.querySelector('dialog') !== null"))
        script = (
            "document.querySelector('#key').value = arguments[0]; document.querySelector('dialog .primary').click()"
        )
        browser.js(script, key)

    try:
        made = json.loads(running.shoal("keys", "create", "reader", "--figures", "--json").stdout)
        browser.chrome.get(f"{running.base}/dashboard")
        give(made["key"])
        browser.until(lambda: browser.text("#freshness").startswith("as of "))
        assert running.shoal("keys", "revoke", made["id"]).returncode == 0
        browser.until(lambda: "That key was not accepted." in browser.text("dialog"))
        browser.js("[...document.querySelectorAll('dialog button')].at(-1).click()")
        browser.until(lambda: "What is shown is as of " in browser.text("#notice"))
        assert "No requests yet." in browser.text("#period-told")
        browser.js("document.querySelector('#notice button').click()")
        give("an-admin-key-of-some-length")
        browser.until(lambda: browser.js("return document.getElementById('notice').hidden"))
        assert browser.text("dialog") == ""
    finally:
        running.stop(signal.SIGKILL)
        browser.js("sessionStorage.clear()")
