"""A page in a real browser: nothing wrong, nothing fetched, no wider than the screen, sorted by keys."""
import browser
import pytest
from pages import Parsed
from reported import CLASSES, HOSTILE, X_TEST, Y_TEST, network, sampled

import sgmcmc_mx as sg

COMMAND = browser.find()
pytestmark = pytest.mark.skipif(COMMAND is None, reason=browser.ADVICE)

WIDTHS = (390, 1200)
CELLS = "Array.from(document.querySelector('#verdict table').tBodies[0].rows, r => r.cells[{}].textContent)"
# The lightest and the darkest ink in a picture, as the reader sees it, once it is on the page's own ground.
SEEN = """(async () => {
  const img = document.querySelector('figure img');
  await img.decode();
  const canvas = document.createElement('canvas');
  canvas.width = 480; canvas.height = 330;
  const c = canvas.getContext('2d');
  c.filter = getComputedStyle(img).filter;
  c.drawImage(img, 0, 0, 480, 330);
  const data = c.getImageData(0, 0, 480, 330).data, light = [];
  for (let k = 0; k < data.length; k += 4)
    if (data[k + 3] > 250) light.push((data[k] + data[k + 1] + data[k + 2]) / 3);
  return [Math.min(...light), Math.max(...light), getComputedStyle(document.body).backgroundColor];
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    runs = sampled(folder / "<b onclick=alert(3)>'&amp;")
    return sg.report(runs, X_TEST.reshape(len(X_TEST), -1), Y_TEST, net=network(), classes=CLASSES, title=HOSTILE,
                     path=folder / "report.html")


@pytest.fixture(scope="module")
def shown():
    found = browser.Browser(COMMAND)
    yield found
    found.close()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_says_nothing_and_fetches_nothing(page, shown, width, dark):
    shown.open(page, width, dark)
    broken = shown.value("""(async () => {
      for (const i of document.images) i.loading = 'eager';
      await Promise.all(Array.from(document.images, i => i.decode()));
      return Array.from(document.images).filter(i => !i.naturalWidth).length; })()""")
    assert broken == 0 and shown.told == []
    assert {url.split(":")[0] for url in shown.asked_for} <= {"file", "data"}
    assert [url for url in shown.asked_for if url.startswith("file")].count(page.resolve().as_uri()) == len(
        [url for url in shown.asked_for if url.startswith("file")])
    assert shown.value("document.documentElement.scrollWidth") <= width
    assert shown.value("document.querySelectorAll('script').length") == 1 and shown.value("document.title") == HOSTILE


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_can_be_seen_on_the_ground_of_the_page(page, shown, dark):
    shown.open(page, 1200, dark)
    darkest, lightest, ground = shown.value(SEEN)
    assert ground == ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert lightest > 200 if dark else darkest < 60


def test_tables_are_sorted_by_keys(page, shown):
    shown.open(page, 1200)
    before = [float("nan") if t == "–" else float(t.replace(",", "")) for t in shown.value(CELLS.format(1))]
    names = shown.value(CELLS.format(0))
    shown.value("document.querySelectorAll('#verdict table th button')[1].focus()")
    shown.press("Enter", "\r")
    assert shown.value("document.activeElement.parentElement.getAttribute('aria-sort')") == "ascending"
    rising = shown.value(CELLS.format(1))[:len(before)]
    numbers = [float(t.replace(",", "")) for t in rising if t != "–"]
    assert sorted(rising) == sorted(shown.value(CELLS.format(1))) and len(numbers) > 5 and numbers == sorted(numbers)
    shown.press(" ", " ")
    assert shown.value("document.activeElement.parentElement.getAttribute('aria-sort')") == "descending"
    falling = [float(t.replace(",", "")) for t in shown.value(CELLS.format(1)) if t != "–"]
    assert falling == sorted(falling, reverse=True)
    shown.press("Tab")      # on to the head of the next column
    shown.press("Enter", "\r")
    assert shown.value("document.activeElement.textContent") == "verdict"
    verdicts = shown.value(CELLS.format(2))
    assert verdicts == sorted(verdicts) and sorted(shown.value(CELLS.format(0))) == sorted(names)
    assert shown.told == []


def test_the_policy_stops_what_is_not_of_the_page(page, shown):
    """Were a name not escaped, its script would be refused: this one is put there on purpose."""
    shown.open(page)
    found = shown.value("""new Promise(done => {
      document.addEventListener('securitypolicyviolation', e => done(e.violatedDirective));
      const s = document.createElement('div');
      s.innerHTML = "<img src='data:,' onerror='window.hurt = 1'>";
      document.body.append(s); })""")
    assert found.startswith("script-src") and shown.value("window.hurt === undefined")
    shown.told.clear()      # the browser says that it has refused it


def test_the_parser_of_these_tests_sees_the_same_page(page, shown):
    shown.open(page)
    elements = Parsed(page.read_text(encoding="utf-8")).elements
    assert shown.value("document.querySelectorAll('*').length") == len(elements)
