"""The residents' pages in a real browser: what is seen, filled in and sent, in both languages, without any script."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from services.feedback_service.links import Link, Purpose, written
from tests.support.city import SECRETS, City
from tests.support.views import settled

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=420,900"),
)
HOSTILE = "<script>document.title='owned'</script> & 周三<b>在</b>家吗？"


@pytest.fixture(scope="module", params=["zh-CN", "en-GB"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium, as a phone would show it, without script; skips by name where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.add_experimental_option(
        "prefs", {"intl.accept_languages": request.param, "profile.managed_default_content_settings.javascript": 2}
    )
    made = webdriver.Chrome(options, Service(driver))
    made.language = request.param
    try:
        yield made
    finally:
        made.quit()


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    async with new_city() as made:
        yield made


async def asked(city: City) -> dict[str, Any]:
    """A case whose resident is to be asked."""
    case = await city.dispatched()
    await city.handle(case)
    await city.until_state(case["appeal_id"], "CALLBACK_DUE")
    await settled(city)
    return case


def url(city: City, case: dict[str, Any], purpose: Purpose, number: int = 1) -> str:
    token = written(SECRETS.token, Link(case["appeal_id"], purpose, number))
    return f"{city.url}/feedback/v1/{purpose.name.lower()}/{token}"


def text(browser: webdriver.Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "main").text)


def choose(browser: webdriver.Chrome, **answers: str) -> None:
    for name, value in answers.items():
        browser.find_element(By.CSS_SELECTOR, f"input[name={name}][value={value}]").click()


def send(browser: webdriver.Chrome) -> None:
    browser.find_element(By.TAG_NAME, "button").click()


async def at(browser: webdriver.Chrome, act: Callable[..., Any], *what: Any, **more: Any) -> Any:
    """The browser waits for a city that lives in our loop."""
    return await asyncio.to_thread(partial(act, *what, **more))


async def test_a_resident_answers_on_the_page_and_is_thanked(own: City, browser: Any) -> None:
    case, chinese = await asked(own), browser.language == "zh-CN"
    await at(browser, browser.get, url(own, case, Purpose.SURVEY))
    assert ("请评价本次办理" if chinese else "How did it go?") in text(browser)
    assert case["ticket_no"] in text(browser) and case["lead_unit_name"] in text(browser)
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == ("zh-CN" if chinese else "en")
    button = browser.find_element(By.TAG_NAME, "button").value_of_css_property("background-color")
    assert "166, 27, 27" in button  # the style sheet passes the page's own content policy
    choose(browser, contacted="true", resolved="true", satisfaction="SATISFIED", process_satisfaction="DISSATISFIED")
    browser.find_element(By.ID, "comment").send_keys("谢谢，\n很快")
    await at(browser, send, browser)
    assert ("已收到您的评价" if chinese else "Thank you") in text(browser)
    closed = await own.until_state(case["appeal_id"], "CLOSED")
    (said,) = [one["data"] for one in closed["timeline"] if one["type"].endswith("citizen-evaluated.v1")]
    assert (said["comment"], said["process_satisfaction"], said["via"]) == ("谢谢，\n很快", "DISSATISFIED", "LINK")


async def test_what_must_be_chosen_is_asked_for_before_anything_is_sent(own: City, browser: Any) -> None:
    case = await asked(own)
    await at(browser, browser.get, url(own, case, Purpose.SURVEY))
    await at(browser, send, browser)
    assert "said=" not in browser.current_url
    assert browser.find_elements(By.CSS_SELECTOR, "input[name=satisfaction]:invalid")


async def test_words_of_others_are_shown_as_words_and_answered_once(own: City, browser: Any) -> None:
    case, chinese = await own.dispatched(), browser.language == "zh-CN"
    path = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await own.as_unit(case, path, {"text": HOSTILE})).status == 200
    await settled(own)
    await at(browser, browser.get, url(own, case, Purpose.THREAD))
    assert HOSTILE in text(browser) and browser.title != "owned"
    browser.find_element(By.ID, "text").send_keys("在家")
    await at(browser, send, browser)
    assert ("已发送" if chinese else "Sent") in text(browser) and not browser.find_elements(By.ID, "text")
    await at(browser, browser.get, url(own, case, Purpose.THREAD))
    assert ("已使用过" if chinese else "has been used") in text(browser) and "周三" not in text(browser)
    await settled(own)
    messages = (await own.get(path)).body["items"]
    assert [one["text"] for one in messages] == [HOSTILE, "在家"]
