"""A headless Chromium that says what it asked the network for."""

import json
import shutil
import time
from collections.abc import Callable
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
BINARIES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120  # seconds, on a busy machine


def programs() -> tuple[str, str] | None:
    """Paths of the browser and of its driver; None where one is not installed."""
    browser = next(filter(None, map(shutil.which, BINARIES)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    def __init__(self, width: int = 1280, height: int = 1000) -> None:
        found = programs()
        assert found
        options = Options()
        options.binary_location = found[0]
        for flag in (
            "headless=new", "no-sandbox", "disable-dev-shm-usage", "use-angle=swiftshader", "enable-unsafe-swiftshader",
            "force-device-scale-factor=1", f"window-size={width},{height}",
        ):  # fmt: skip
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(found[1]))
        self.driver.set_page_load_timeout(PATIENCE)
        self.asked: list[str] = []

    def open(self, address: str) -> None:
        self.driver.get(address)
        self.until(lambda: self.all("button[role=tab], .gradio-container button"))

    def all(self, css: str) -> list[WebElement]:
        return [e for e in self.driver.find_elements(By.CSS_SELECTOR, css) if e.is_displayed()]

    def one(self, css: str) -> WebElement:
        """The first that can be seen."""
        return self.until(lambda: self.all(css))[0]

    def press(self, text: str) -> None:
        button = self.until(lambda: [b for b in self.all("button:not([role=tab]), label") if b.text.strip() == text])[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)

    def tab(self, title: str) -> None:
        """Opens a tab, also where a narrow window keeps it in a menu."""

        def find() -> bool:
            chosen = [
                b for b in self.driver.find_elements(By.CSS_SELECTOR, "button[role=tab]") if b.text.strip() == title
            ]
            if not chosen:
                for menu in self.all(".overflow-menu > button"):
                    menu.click()
                chosen = [b for b in self.all(".overflow-dropdown button") if b.text.strip() == title]
            if chosen:
                self.run("arguments[0].click()", chosen[0])
            return bool(chosen)

        self.until(find)

    def panel(self, css: str) -> list[WebElement]:
        """In the open tab, also what cannot be seen, such as the inputs of files."""
        opened = [e for e in self.driver.find_elements(By.CSS_SELECTOR, "[role=tabpanel]") if e.is_displayed()]
        return opened[0].find_elements(By.CSS_SELECTOR, css) if opened else []

    def shown(self, css: str) -> list[WebElement]:
        """In the open tab, large enough to be what the tab is about."""
        return [e for e in self.panel(css) if e.is_displayed() and e.size["height"] > 120]

    def upload(self, file: str, place: int = 0) -> None:
        """To one of the places of the open tab that take a file."""
        self.until(lambda: self.panel("input[type=file]"))[place].send_keys(file)

    def example(self) -> None:
        """Takes the first example of the open tab."""
        self.run("arguments[0].click()", self.until(lambda: self.panel(".gallery-item, tbody tr"))[0])

    def settled(self, element: WebElement) -> None:
        """Waits until an element has stopped moving and growing."""
        last: list[object] = []

        def still() -> bool:
            last.append(element.rect)
            time.sleep(0.5)
            return len(last) > 3 and last[-1] == last[-3]

        self.until(still)

    def type(self, css: str, text: str) -> None:
        box = self.one(css)
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text)

    def until(self, found: Callable[[], T], seconds: float = PATIENCE) -> T:
        """Waits for something true; the page may be redrawn meanwhile."""
        end = time.monotonic() + seconds
        while True:
            try:
                if value := found():
                    return value
            except WebDriverException:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"nothing after {seconds} s; the page says: {self.text()[-1500:]}")
            time.sleep(0.2)

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """Addresses of all requests so far."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
        return self.asked

    def close(self) -> None:
        self.driver.quit()
