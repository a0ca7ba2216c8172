import pytest
from mmcontrast.apps.media import PHOTOGRAPHS
from selenium.webdriver.common.action_chains import ActionChains

from tests.apps import browser as chromium

pytestmark = pytest.mark.skipif(not chromium.programs(), reason="no Chromium with chromedriver is installed")
VALUES = "return [...document.querySelectorAll('textarea, input')].filter(e => e.offsetParent).map(e => e.value)"


@pytest.fixture(scope="module")
def browser(server):
    opened = chromium.Browser()
    opened.open(server.address)
    yield opened
    opened.close()


def drag(browser, canvas, way):
    """Paints along a way of (x, y), as fractions of the canvas from its center."""
    browser.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
    width, height = canvas.size["width"], canvas.size["height"]
    places = [(round(x * width), round(y * height)) for x, y in way]
    hand = ActionChains(browser.driver, duration=60)
    hand.move_to_element_with_offset(canvas, *places[0]).click_and_hold()
    for x, y in places[1:]:
        hand.move_to_element_with_offset(canvas, x, y)
    hand.release().perform()


def test_type_labels_and_classify_an_upload(browser):
    browser.tab("Zero-shot")
    browser.upload(PHOTOGRAPHS[-1])
    browser.until(lambda: "100%" in browser.text() or "9%" in browser.text())  # answers the upload by itself
    browser.type("textarea", "a dog\na dahlia flower")
    browser.press("Classify")
    browser.until(lambda: browser.one("[data-testid=label-output-value], h2.output-class").text == "a dahlia flower")


def test_click_a_point_and_read_the_marker(browser):
    browser.tab("Match")
    for place, shown in ((0, 1), (-1, 2)):
        browser.upload(PHOTOGRAPHS[0], place)
        browser.until(lambda shown=shown: len(browser.shown("img")) == shown)
    left = browser.until(lambda: browser.shown("img"))[0]
    ActionChains(browser.driver).move_to_element_with_offset(left, 12, -20).click().perform()
    found = browser.until(lambda: [v for v in browser.run(VALUES) if "," in v])
    at = [float(number) for number in found[0].split(",")]
    scale = min(1, left.size["height"] / 256)
    assert abs(at[0] - (128 + 12 / scale)) < 8
    assert abs(at[1] - (128 - 20 / scale)) < 8
    browser.until(lambda: len({image.get_attribute("src") for image in browser.shown("img")}) == 2)  # the heat map


def test_a_refusal_is_one_sentence_without_badges(browser):
    browser.tab("Track")
    browser.press("Track")
    browser.until(lambda: "Give a video first" in browser.text())
    browser.until(lambda: browser.panel("[data-testid=status-tracker] .error"))
    assert not [badge for badge in browser.panel("[data-testid=status-tracker] .error") if badge.is_displayed()]


def test_paint_an_object_and_get_a_video_that_plays(browser, disc):
    browser.tab("Track")
    browser.upload(str(disc[0]))
    canvas = browser.until(lambda: browser.shown("canvas"))[0]
    browser.until(lambda: browser.run("return document.querySelector('.tabitem video')?.readyState >= 1 || null"))
    browser.settled(canvas)
    drag(browser, canvas, [(-0.2, -0.05), (-0.15, 0.05), (-0.1, -0.05), (-0.05, 0.05)])
    browser.press("Track")
    browser.until(lambda: f"{len(disc[1])} frames in" in browser.text())
    video = "[...document.querySelectorAll('video')].find(v => v.currentSrc.includes('tracked'))"
    assert browser.until(lambda: browser.run(f"return {video}?.duration")) > 0.5
    browser.run(f"{video}.play()")
    browser.until(lambda: browser.run(f"return {video}.currentTime > 0"))
    assert browser.panel("a[href*='masks.zip']")
    browser.press("clicked points")  # what is shown is none of these
    browser.until(lambda: not browser.panel("a[href*='masks.zip']") and "frames in" not in browser.text())
    assert not browser.run(f"return !!{video}")
    browser.press("painted objects")


def test_a_running_job_can_be_canceled(browser):
    browser.tab("Track")
    browser.press("clicked points")
    browser.until(lambda: browser.run("return [...document.querySelectorAll('video')].some(v => v.src)"))
    images = "return [...document.querySelectorAll('img')].map(i => i.src).join()"
    before = browser.run(images)
    browser.example()
    browser.until(
        lambda: "toy.mp4" in browser.run("return [...document.querySelectorAll('video')].map(v => v.src).join()")
    )
    browser.until(lambda: browser.run(images) != before)  # the video's first frame has come
    browser.type("[placeholder='120,80; 200,95']", "200,100")
    browser.press("Track")
    browser.until(lambda: "of 90, about" in browser.text())
    browser.press("Cancel")
    browser.until(lambda: "Canceled." in browser.text())


def test_look_inside(browser):
    browser.tab("Look inside")
    browser.example()
    browser.until(lambda: browser.shown("img"))
    browser.press("Show")
    browser.until(lambda: "all patches" in browser.text())
    browser.press("hidden patches")
    browser.until(lambda: "mmcontrast fit smoke/mae --out runs/smoke-mae" in browser.text())
    browser.until(lambda: "all patches" not in browser.text())
    assert not [slider for slider in browser.panel("input[type=range]") if slider.is_displayed()]


def test_no_overflow_and_nothing_from_elsewhere(browser):
    for width in (390, 1280):
        browser.driver.set_window_size(width, 1000)
        for tab in ("Zero-shot", "Match", "Track", "Look inside"):
            browser.tab(tab)
            assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), (width, tab)
    own = ("data:", "blob:", "chrome:", browser.driver.current_url.rstrip("/"))
    assert [url for url in browser.requests() if not url.startswith(own)] == []
    assert [e for e in browser.driver.get_log("browser") if "Content Security Policy" in e["message"]] == []
