"""Looks at pages of hilora-host in a headless Chromium: python3 tests/browser/look.py [--screenshots FOLDER] PAGE.html ...

Each page is opened light and dark, wide and narrow. It fails where a page asks for anything but itself, says
anything on the console, has a script, is wider than its window, or lacks what those need who cannot see it: a language, a
title, a name for each picture, a heading for each column. The browser is $CHROMIUM, or the first of chromium,
chromium-browser, google-chrome and chrome-headless-shell in the path. Only Python's own library is used: the browser is
spoken to over a pipe.
"""

import argparse
import base64
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"]
WIDTHS = {"wide": 1280, "narrow": 390}
SCHEMES = ["light", "dark"]
SCREENSHOT_PIXELS_MAX = 12_000

# What stands on the page, asked of the page itself.
QUESTIONS = """(() => {
  const all = selector => [...document.querySelectorAll(selector)];
  all("details").forEach(details => details.open = true);
  return {
    language: document.documentElement.lang,
    title: document.title,
    scripts: all("script").length,
    images: all("img, iframe, object, embed, link").length,
    unnamed: all("svg").filter(svg => !svg.getAttribute("aria-label")).length,
    unheaded: all("table").filter(table => !table.querySelector("th")).length,
    dangling: all("a[href]").filter(a => !document.getElementById(a.getAttribute("href").slice(1))).length,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    height: document.documentElement.scrollHeight,
    background: getComputedStyle(document.body).backgroundColor,
  };
})()"""


class Browser:
    """A headless browser and the events that it told of."""

    def __init__(self, program, profile):
        to_browser, ours = os.pipe()
        from_browser, theirs = os.pipe()
        self.numbers = itertools.count(1)
        self.events = []
        self.rest = b""

        def place_pipes():
            # The browser reads from 3 and writes to 4.
            reading, writing = os.dup(to_browser), os.dup(theirs)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
                     "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen([program, *arguments], preexec_fn=place_pipes, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(theirs)
        self.writing, self.reading = ours, from_browser

    def receive(self):
        """The next message."""
        while b"\0" not in self.rest:
            piece = os.read(self.reading, 1 << 20)
            if not piece:
                sys.exit("the browser has ended")
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """Calls a method and waits for its answer; what is told in between is an event."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        """Waits for an event."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())


def look_at(browser, page, scheme, width_name, screenshots):
    """Opens a page once and gives all that is wrong."""
    width = WIDTHS[width_name]
    browser.events.clear()
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ["Page", "Network", "Runtime", "Log"]:
        browser.call(f"{domain}.enable", session)
    browser.call("Emulation.setDeviceMetricsOverride", session, width=width, height=900, deviceScaleFactor=1,
                 mobile=False)
    browser.call("Emulation.setEmulatedMedia", session,
                 features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.events.clear()
    url = page.resolve().as_uri()
    browser.call("Page.navigate", session, url=url)
    browser.wait_for("Page.loadEventFired")
    answer = browser.call("Runtime.evaluate", session, expression=QUESTIONS, returnByValue=True)["result"]["value"]
    name = f"{page.stem}-{scheme}-{width_name}"
    if screenshots:
        height = min(answer["height"], SCREENSHOT_PIXELS_MAX)
        browser.call("Emulation.setDeviceMetricsOverride", session, width=width, height=height, deviceScaleFactor=1,
                     mobile=False)
        picture = browser.call("Page.captureScreenshot", session, format="png")["data"]
        (screenshots / f"{name}.png").write_bytes(base64.b64decode(picture))
    problems = []
    for event in browser.events:
        parameters = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent" and parameters["request"]["url"] != url:
            problems.append(f"it asks for {parameters['request']['url']}")
        if event.get("method") in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"]:
            problems.append(f"the console says {json.dumps(parameters)[:300]}")
    expected = {"language": "en", "scripts": 0, "images": 0, "unnamed": 0, "unheaded": 0, "dangling": 0, "wider": 0}
    problems += [f"{key}: expected {value}, got {answer[key]}" for key, value in expected.items()
                 if answer[key] != value]
    if not answer["title"]:
        problems.append("it has no title")
    browser.call("Target.closeTarget", targetId=target)
    return [f"{name}: {problem}" for problem in problems], answer["background"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--screenshots", type=pathlib.Path, help="where a picture of each look goes")
    parser.add_argument("pages", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not program:
        sys.exit(f"no browser: expected $CHROMIUM, or one of {', '.join(BROWSERS)} in the path")
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    problems = []
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, profile)
        for page in arguments.pages:
            backgrounds = {}
            for scheme, width in itertools.product(SCHEMES, WIDTHS):
                found, backgrounds[scheme] = look_at(browser, page, scheme, width, arguments.screenshots)
                problems += found
            if backgrounds["light"] == backgrounds["dark"]:
                problems.append(f"{page.stem}: light and dark have the same background")
        browser.call("Browser.close")
        browser.process.wait(timeout=30)
    print("\n".join(problems) or f"{len(arguments.pages)} pages looked at, {len(SCHEMES) * len(WIDTHS)} times each: nothing wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
