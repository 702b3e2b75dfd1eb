"""The residents' pages in a real browser: what is seen, filled in and sent, in both languages, without any script."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import presence_of_element_located
from selenium.webdriver.support.ui import WebDriverWait

from services.feedback_service.links import Link, Purpose, written
from tests.support.city import SECRETS, City
from tests.support.views import settled

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=420,900"),
)
HOSTILE = "<script>document.title='owned'</script> & 周三<b>在</b>家吗？"


@pytest_asyncio.fixture(scope="module", params=["zh-CN", "en-GB"])
async def browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[webdriver.Chrome]:
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
    made = await asyncio.to_thread(webdriver.Chrome, options, Service(driver))
    made.set_page_load_timeout(20)
    made.language = request.param
    try:
        yield made
    finally:
        await asyncio.to_thread(made.quit)


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


class Page:
    """What a resident does with a page. The city lives in our loop, so nothing here may be called from it."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)

    @property
    def text(self) -> str:
        return str(self.browser.find_element(By.TAG_NAME, "main").text)

    def choose(self, **answers: str) -> None:
        for name, value in answers.items():
            self.browser.find_element(By.CSS_SELECTOR, f"input[name={name}][value={value}]").click()

    def write(self, where: str, words: str) -> None:
        self.browser.find_element(By.ID, where).send_keys(words)

    def send(self) -> None:
        self.browser.find_element(By.TAG_NAME, "button").click()

    def sent(self) -> str:
        """What the page says once the form has come back."""
        self.send()
        told = (By.CSS_SELECTOR, "[role=status], [role=alert]")
        return str(WebDriverWait(self.browser, 20).until(presence_of_element_located(told)).text)


async def test_a_resident_answers_on_the_page_and_is_thanked(own: City, browser: Any) -> None:
    case, chinese = await asked(own), browser.language == "zh-CN"

    def at_home() -> None:
        page = Page(browser, url(own, case, Purpose.SURVEY))
        assert ("请评价本次办理" if chinese else "How did it go?") in page.text
        assert case["ticket_no"] in page.text and case["lead_unit_name"] in page.text
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == ("zh-CN" if chinese else "en")
        button = browser.find_element(By.TAG_NAME, "button").value_of_css_property("background-color")
        assert "166, 27, 27" in button  # the style sheet passes the page's own content policy
        page.choose(contacted="true", resolved="true", satisfaction="SATISFIED", process_satisfaction="DISSATISFIED")
        page.write("comment", "谢谢，\n很快")
        assert ("已收到您的评价" if chinese else "Thank you") in page.sent()

    await asyncio.to_thread(at_home)
    closed = await own.until_state(case["appeal_id"], "CLOSED")
    (said,) = [one["data"] for one in closed["timeline"] if one["type"].endswith("citizen-evaluated.v1")]
    assert (said["comment"], said["process_satisfaction"], said["via"]) == ("谢谢，\n很快", "DISSATISFIED", "LINK")


async def test_what_must_be_chosen_is_asked_for_before_anything_is_sent(own: City, browser: Any) -> None:
    case = await asked(own)

    def at_home() -> None:
        page = Page(browser, url(own, case, Purpose.SURVEY))
        page.send()
        assert "said=" not in browser.current_url
        assert browser.find_elements(By.CSS_SELECTOR, "input[name=satisfaction]:invalid")

    await asyncio.to_thread(at_home)


async def test_words_of_others_are_shown_as_words_and_answered_once(own: City, browser: Any) -> None:
    case, chinese = await own.dispatched(), browser.language == "zh-CN"
    path = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await own.as_unit(case, path, {"text": HOSTILE})).status == 200
    await settled(own)

    def at_home() -> None:
        page = Page(browser, url(own, case, Purpose.THREAD))
        assert HOSTILE in page.text and browser.title != "owned"
        page.write("text", "在家")
        assert ("已发送" if chinese else "Sent") in page.sent() and not browser.find_elements(By.ID, "text")
        again = Page(browser, url(own, case, Purpose.THREAD))
        assert ("已使用过" if chinese else "has been used") in again.text and "周三" not in again.text

    await asyncio.to_thread(at_home)
    await settled(own)
    messages = (await own.get(path)).body["items"]
    assert [one["text"] for one in messages] == [HOSTILE, "在家"]


async def test_a_link_that_leads_nowhere_says_so_to_people(own: City, browser: Any) -> None:
    chinese = browser.language == "zh-CN"

    def at_home() -> None:
        page = Page(browser, f"{own.url}/feedback/v1/survey/broken")
        assert ("链接无效" if chinese else "leads nowhere") in page.text

    await asyncio.to_thread(at_home)


async def test_a_league_table_is_shown_and_printed(browser: webdriver.Chrome, own: City, tmp_path: Path) -> None:
    query = "/scoring/v1/scores?period=2026-12&league=DISTRICT"
    page = await own.get(query, headers={"Accept": "text/html", "Accept-Language": browser.language})
    file = tmp_path / "table.html"
    file.write_bytes(page.raw)
    await asyncio.to_thread(browser.get, file.as_uri())
    rows = await asyncio.to_thread(browser.find_elements, By.CSS_SELECTOR, "tbody tr")
    title = await asyncio.to_thread(lambda: browser.find_element(By.TAG_NAME, "h1").text)
    assert len(rows) == 16 and ("各区" if browser.language == "zh-CN" else "Districts") in title
    printed = base64.b64decode(await asyncio.to_thread(browser.print_page))
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 1
