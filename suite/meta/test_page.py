"""`python -m reports build`: the page in a real browser, and the same content for other programs."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from fixtures.releases import releases
from reports import archive, compare, export, ledger, results
from reports.bench import document
from reports.page import build, data, history, speed
from reports.page.gather import NothingRecorded, gather
from suite.meta.signals import hear_interrupts

HOUSE = Path(__file__).parents[2]
HOSTILE = (
    """</script><script>document.title="taken"</script><img src=x onerror="document.title='taken'"> & 'quoted' `code`"""
)

pytestmark = pytest.mark.xdist_group("page")  # one browser, and one set of results


def counted(document):
    """The document with the footer that its claims ask for."""
    verdicts = [(claim["verdict"], claim["drift"]) for claim in document["claims"].values()]
    document["footer"] |= results.counts(verdicts)
    return document


@pytest.fixture(scope="module")
def newest():
    """The newest recorded result, as its run wrote it, without claims that the ledger no longer has."""
    path = list(archive.recorded().values())[-1]
    document = archive.expand(json.loads(path.read_text()), path.parent)
    known = ledger.load().claims
    document["claims"] = {key: claim for key, claim in document["claims"].items() if key in known}
    return counted(document)


@pytest.fixture(scope="module")
def claim():
    """A sentence with a correction and code, refuted on the newest release."""
    return next(it for it in ledger.load() if it.holds is None and it.instead and it.id.count(".") == 1)


@pytest.fixture(scope="module")
def folder(newest, claim, tmp_path_factory):
    """A recorded result for each listed release: that claim holds before 4.46, and was measured otherwise after 5.0."""
    folder, documents = tmp_path_factory.mktemp("results"), {}
    held = next(it for it, table in newest["claims"].items() if table["verdict"] == "holds" and table["specs"])
    for place, (minor, release) in enumerate(releases().items()):
        document = json.loads(json.dumps(newest))
        document["environment"]["release"] = release.version
        document["environment"]["packages"]["transformers"] = release.version
        if place < list(releases()).index("4.46"):
            document["claims"][claim.id]["verdict"] = "holds"
        document["claims"][held]["specs"][0]["evidence"] = {"seconds": float(place), "default": 5 + (place > 40)}
        documents[minor] = counted(document)
    archive.keep(documents, folder)
    return folder


@pytest.fixture(scope="module")
def gathered(folder):
    """Those results, as the page reads them."""
    return gather(ledger.load(), folder.glob("*.json"))


@pytest.fixture(scope="module")
def address(gathered, tmp_path_factory):
    """The page's address on the disk."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(build.html(gathered, speed.read), encoding="utf-8")
    return path.as_uri()


def chromium():
    """Where the browser is."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.fail("no Chromium here: install it (on Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that finds no host: it likes to ask its maker for updates, also in headless mode."""
    options = ["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # its sandbox does not work for root, as CI is
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=options)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser):
    """A new tab of 1280 x 900 pixels; whatever its script raises fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    context.close()
    assert errors == []


def test_a_missing_browser_is_a_failure_that_says_what_to_install(monkeypatch):
    """No test of the page is left out in silence."""
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium()


# --- what the page answers --------------------------------------------------------------------------------------------


def test_it_opens_from_the_disk_and_asks_nobody(tab, address):
    """One file, one request: its own."""
    asked = []
    tab.on("request", lambda request: asked.append(request.url))

    tab.goto(address)

    assert asked == [address]
    expect(tab.get_by_role("heading", name="What of the lecture is still true?")).to_be_visible()


def test_counts_have_denominators(tab, address, gathered):
    """Counts by lecture part are those of the newest run, with the number of claims beside; errors if there are any."""
    tab.goto(address)

    row = tab.locator(".counts tbody tr").last.locator("td").all_inner_texts()

    footer = gathered.runs[-1].result.footer
    assert footer["error"] == 0
    assert [int(text) for text in row] == [footer[name] for name in ("claims", *data.VERDICTS) if name != "error"]
    assert "%" not in tab.locator(".counts").inner_text()


def test_search_and_filters(tab, address, claim, gathered):
    """Words, the verdict and flips narrow the matrix; the address keeps the filters."""
    tab.goto(address)
    shown = tab.locator(".matrix li:not([hidden])")
    expect(shown).to_have_count(sum(it.id.count(".") == 1 for it in gathered.ledger))

    tab.get_by_role("searchbox").fill(claim.id)
    expect(tab.locator(f'.matrix li[data-id="{claim.id}"]')).to_be_visible()
    tab.get_by_label("flipped only").check()
    expect(shown).to_have_count(1)
    tab.get_by_label(f"On {gathered.runs[-1].result.environment.release}").select_option("holds")
    expect(shown).to_have_count(0)
    tab.reload()
    expect(shown).to_have_count(0)
    tab.get_by_label(f"On {gathered.runs[-1].result.environment.release}").select_option("refuted")
    expect(shown).to_have_count(1)


def test_a_search_for_a_slide(tab, address, gathered):
    """`slide 4` finds the claims of slide 4, not those of 40."""
    tab.goto(f"{address}#today?depth=all&q=slide 4")

    found = [row.get_attribute("data-id") for row in tab.locator(".matrix li:not([hidden])").all()]

    assert set(found) == gathered.ledger.on_slide(4)


def test_a_claim_by_its_link(tab, address, claim, gathered):
    """Statement, correction, code, and since when: the two releases with their dates."""
    tab.goto(f"{address}#claim/{claim.id}")
    view = tab.locator("#claim")

    flip = next(history.flips(gathered, claim))
    expect(view.locator("blockquote")).to_have_text(claim.statement.replace("`", ""))
    expect(view.locator("#correction")).to_have_text(claim.correction.replace("`", ""))
    expect(view.locator("pre")).to_have_text(data.code(claim))
    expect(view.locator(".flips")).to_contain_text(
        f"{flip.after.result.environment.release}, published {flip.after.released}"
    )
    expect(view.locator(".flips")).to_contain_text(f"not on {flip.before.result.environment.release}")
    assert flip.after.minor == "4.46"


def test_no_such_claim(tab, address):
    """A link to a claim that is gone says so."""
    tab.goto(f"{address}#claim/no.such")

    expect(tab.get_by_role("heading", name="No such claim")).to_be_visible()


def test_evidence_is_that_of_the_chosen_release(tab, address, gathered, newest):
    """What a spec measured differs between releases, and the link keeps the release."""
    held = next(key for key, table in newest["claims"].items() if table["verdict"] == "holds" and table["specs"])
    tab.goto(f"{address}#claim/{held}/4.23")
    expect(tab.locator("#claim .kv").first).to_contain_text("5")

    tab.locator("#claim select").select_option(label=gathered.runs[-1].result.environment.release)

    expect(tab.locator("#claim .kv").first).to_contain_text("6")
    assert tab.url.endswith(f"#claim/{held}/{gathered.runs[-1].minor}")


def test_the_cause_of_a_flip_is_shown_where_the_ledger_knows_it(tab, folder, claim, tmp_path):
    """Package, exact version and link."""
    cause = ledger.Flip("transformers", "4.46.0", "refuted", (), "https://example.org/change/1")
    tab.goto(written(tmp_path, gather(with_claim(dataclasses.replace(claim, flips=(cause,))), folder.glob("*.json"))))

    tab.evaluate(f"location.hash = '#claim/{claim.id}'")

    expect(tab.locator(".flips")).to_contain_text("It came with transformers 4.46.0.")
    expect(tab.locator(".flips a")).to_have_attribute("href", cause.link)


def test_correction_and_code_are_copied(browser, address, claim):
    """As they stand in the ledger."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.goto(f"{address}#claim/{claim.id}")

    tab.get_by_role("button", name="Copy the correction").click()
    expect(tab.get_by_role("status").first).to_have_text("copied")
    assert tab.evaluate("navigator.clipboard.readText()") == claim.correction
    tab.get_by_role("button", name="Copy the code").click()
    expect(tab.get_by_role("status").last).to_have_text("copied")
    assert tab.evaluate("navigator.clipboard.readText()") == data.code(claim)
    context.close()


def test_a_slide_says_what_to_change(tab, address, claim):
    """The slide's refuted sentence, a box to tick, what to write."""
    tab.goto(f"{address}#slide/{claim.slides[0]}")

    slide = tab.locator(".slide:not([hidden])")
    expect(slide).to_have_count(1)
    item = slide.locator(".change li", has=tab.locator(f'a[href="#claim/{claim.id}"]'))
    expect(item).to_contain_text(claim.correction.replace("`", ""))
    item.get_by_role("checkbox").check()


def test_printed_the_slides_are_a_checklist(tab, address, claim):
    """Boxes and corrections are on the paper; what one clicks on is not."""
    tab.goto(f"{address}#slides")

    tab.emulate_media(media="print")

    expect(tab.get_by_role("navigation")).to_be_hidden()
    expect(tab.get_by_role("button", name="Print")).to_be_hidden()
    expect(tab.locator(".change input").first).to_be_visible()
    assert tab.pdf().startswith(b"%PDF")


@pytest.mark.parametrize(("before", "after"), [("4.23", "5.23"), ("4.45", "4.46"), ("5.23", "4.30"), ("5.20", "5.21")])
def test_an_upgrade_in_the_words_of_compare(tab, address, gathered, before, after):
    """The page finds the changes that `python -m reports compare` finds, in its order, under its titles."""
    tab.goto(f"{address}#upgrade/4.57/5.0")

    tab.locator("#from").select_option(before)
    tab.locator("#to").select_option(after)

    by_minor = {run.minor: run.result for run in gathered.runs}
    found = compare.changes(gathered.ledger, by_minor[before], by_minor[after])
    told = tab.locator("#changes [data-claim]").evaluate_all("all => all.map(it => it.dataset.claim)")
    assert told == [change.claim.id for change in found]
    for kind, title in compare.KINDS.items():
        if own := [change for change in found if change.kind == kind]:
            expect(tab.locator(f'[data-kind="{kind}"]')).to_contain_text(f"{title} ({len(own)})")
            for name, old, new in own[0].evidence:
                expect(tab.locator(f'[data-kind="{kind}"]')).to_contain_text(f"{name}: {old} -> {new}"[:400])
    assert found or before == "5.20"
    assert tab.url.endswith(f"#upgrade/{before}/{after}")


def test_a_release_by_its_link(tab, address, gathered):
    """Its counts, with the number of claims."""
    tab.goto(f"{address}#release/4.40")

    footer = gathered.runs[17].result.footer
    expect(tab.locator("#one-release")).to_contain_text(f"Of {footer['claims']} claims: {footer['holds']} holds")


def test_keys_are_enough(tab, address):
    """From the address bar: skip to the content, and the search is reached and used without a mouse."""
    tab.goto(address)
    tab.keyboard.press("Tab")
    expect(tab.locator(".skip")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#main")).to_be_focused()
    for _ in range(10):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "search":
            break
    tab.keyboard.type("slide 35")
    expect(tab.locator(".matrix li:not([hidden])").first).to_be_visible()
    assert "q=slide+35" in tab.url


def test_the_page_stands_without_its_script(browser, address, claim):
    """Matrix, slides and legend can be read with scripts off."""
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address)

    expect(tab.locator(f'.matrix li[data-id="{claim.id}"]')).to_be_visible()
    expect(tab.locator(f'.slide[data-slide="{claim.slides[0]}"]')).to_be_visible()
    context.close()


# --- fit to look at ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (2560, "dark")])
def test_axe_finds_nothing(browser, folder, claim, tmp_path, width, scheme):
    """Each view, at both ends of the widths, light or dark: no breach of WCAG 2.2 AA, nothing wider than the screen.

    With each tenth claim: axe takes a minute for all of them, which are made alike.
    """
    some = dict(list(ledger.load().claims.items())[::10]) | {claim.id: claim}
    gathered = gather(dataclasses.replace(ledger.load(), claims=some), folder.glob("*.json"))
    address = written(tmp_path, gathered)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    for view in (
        "today?q=slide 4",
        "slides",
        "upgrade/4.45/4.46",
        "speed",
        "about",
        f"claim/{claim.id}",
        "release/4.40",
    ):
        tab.goto(f"{address}#{view}")
        found = Axe().run(tab, options=rules).response
        assert found["passes"], f"axe judged nothing on {view}"
        breaches = [
            (it["id"], it["nodes"][0]["html"][:200], it["nodes"][0]["failureSummary"]) for it in found["violations"]
        ]
        assert breaches == [], f"{view}, {scheme}, {width}"
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"{view} is wider than {width} pixels"
    context.close()


def test_dark_mode_can_be_chosen(tab, address):
    """Against the system's choice, and it stays."""
    tab.emulate_media(color_scheme="light")
    tab.goto(address)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)

    tab.get_by_label("Colours").select_option("dark")

    dark = tab.evaluate(ground)
    tab.reload()
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    assert tab.evaluate(ground) == dark


def test_a_verdict_is_told_by_more_than_colour(tab, address):
    """Each row says its verdicts in words for a screen reader, and a sign stands before the word."""
    tab.goto(address)

    row = tab.locator('.matrix li[data-verdict="refuted"]').first

    assert row.locator(".sign").inner_text() == "✗ refuted"
    assert "refuted 4." in row.locator(".spoken").inner_text()
    assert "gradient" in row.locator(".bar i.refuted").first.evaluate("it => getComputedStyle(it).backgroundImage")


# --- nothing but text -------------------------------------------------------------------------------------------------


def with_claim(changed):
    """The ledger with one claim in another wording."""
    original = ledger.load()
    return dataclasses.replace(original, claims={**original.claims, changed.id: changed})


def written(tmp_path, gathered):
    path = tmp_path / "index.html"
    path.write_text(build.html(gathered), encoding="utf-8")
    return path.as_uri()


def test_html_stays_text(tab, newest, claim, tmp_path):
    """In statement, correction, code, link, evidence's names and values, an exception's message, and a file's name."""
    cause = ledger.Flip("transformers", "5", "refuted", (), "javascript:alert(1)")
    changed = dataclasses.replace(claim, statement=HOSTILE, correction=HOSTILE, instead=HOSTILE, flips=(cause,))
    spec = {"id": HOSTILE, "role": "claim", "outcome": "refuted", "seconds": 0.0, "reason": HOSTILE, "drift": False}
    for minor, verdict in (("4.57", "holds"), ("5.23", "refuted")):
        document = json.loads(json.dumps(newest))
        table = document["claims"][claim.id]
        table["verdict"] = verdict
        document["environment"]["release"] = document["environment"]["packages"]["transformers"] = f"{minor}.0"
        table["specs"] = [
            spec | {"evidence": {HOSTILE: HOSTILE + minor, "exception": {"type": "E", "message": HOSTILE}}}
        ]
        (tmp_path / f"{minor}.json").write_text(json.dumps(counted(document)))
    (tmp_path / "<img src=x onerror=alert(1)>.json").write_text("{")
    address = written(tmp_path, gather(with_claim(changed), tmp_path.glob("*.json")))

    for view in ("today", f"claim/{claim.id}", f"slide/{claim.slides[0]}", "upgrade/4.57/5.23", "release/5.23"):
        tab.goto("about:blank")
        tab.goto(f"{address}#{view}")
        assert tab.locator("img").count() == 0
        assert tab.locator("script").count() == 2
        assert "taken" not in tab.title()
        assert tab.locator('a[href^="javascript"]').count() == 0
    tab.goto(f"{address}#claim/{claim.id}")
    expect(tab.locator("#claim pre")).to_have_text(HOSTILE)
    expect(tab.locator("#claim .kv").first).to_contain_text(HOSTILE)


def test_an_island_cannot_be_left():
    """JSON in a script element has no `<`, and reads back as it was."""
    value = {HOSTILE: ["\u2028<!--", "]]>"]}

    text = build.island(value)

    assert "<" not in text
    assert json.loads(text) == value


# --- results that are refused or marked -------------------------------------------------------------------------------


def interrupted(document):
    del document["footer"]


def foreign(document):
    document["schema"] = 2


def edited(document):
    document["footer"]["holds"] += 1


def partial(document):
    document["selection"] = ["--slide 33"]


def outdated(document):
    document["environment"]["parts"]["common"] = "0" * 16


def relocked(document):
    document["environment"]["lock"] = "sha256:" + "0" * 64


def unlocked(document):
    document["environment"]["lock"] = None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (interrupted, "MissingFooter"),
        (foreign, "OtherSchema"),
        (edited, "WrongFooter"),
        (partial, "a part of the suite"),
    ],
)
def test_a_result_is_refused_with_the_reason(tab, newest, tmp_path, change, reason):
    """On the page, beside the results that are used."""
    (tmp_path / "5.23.json").write_text(json.dumps(newest))
    document = json.loads(json.dumps(newest))
    document["environment"]["release"] = "4.40.2"
    change(document)
    (tmp_path / "4.40.json").write_text(json.dumps(document))

    gathered = gather(ledger.load(), tmp_path.glob("*.json"))

    assert [run.minor for run in gathered.runs] == [list(archive.recorded())[-1]]
    tab.goto(written(tmp_path, gathered))
    expect(tab.locator(".problems")).to_contain_text("4.40.json")
    expect(tab.locator(".problems li").first).to_contain_text(reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(outdated, "another state of the suite"), (relocked, "another lock"), (unlocked, "not made from a lock")],
)
def test_a_result_is_marked_with_the_reason(tab, newest, tmp_path, change, reason):
    """It is shown, and the page says what to know before believing it."""
    document = json.loads(json.dumps(newest))
    change(document)
    (tmp_path / "5.23.json").write_text(json.dumps(document))

    gathered = gather(ledger.load(), tmp_path.glob("*.json"))

    assert any(reason in mark for mark in gathered.runs[0].marks)
    tab.goto(written(tmp_path, gathered))
    tab.locator(".problems summary").click()
    expect(tab.locator(".problems")).to_contain_text(reason)


def test_two_results_of_one_release(newest, tmp_path):
    """The second is refused: a page has one column for a release."""
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(newest))

    gathered = gather(ledger.load(), sorted(tmp_path.glob("*.json")))

    assert len(gathered.runs) == 1
    assert [it.file for it in gathered.refused] == ["b.json"]


def test_without_a_usable_result_there_is_no_page(tmp_path):
    """And the reason is told."""
    (tmp_path / "4.40.json").write_text("{")

    with pytest.raises(NothingRecorded, match=r"4\.40\.json: UnreadableResult: cut off"):
        gather(ledger.load(), tmp_path.glob("*.json"))


# --- for other programs -----------------------------------------------------------------------------------------------


def test_ranges_tell_a_flip(gathered, claim):
    """Introduced, removed and changed, in the versions of the packages that may explain it."""
    made = json.loads(build.made(gathered, "ranges"))

    record = next(it for it in made["claims"] if it["claim"] == claim.id)
    before, after = releases()["4.45"].version, releases()["4.46"].version
    assert record["packages"] == {"transformers": [{"introduced": None, "last": before, "removed": after}]}
    assert [(it["to"], it["after"]["transformers"]) for it in record["changed"]] == [("refuted", after)]
    assert record["holds"] + record["refuted"] == record["judged"] <= record["recorded"] == len(gathered.runs)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("hhh", [(None, "3", None)]),
        ("rrr", []),
        ("rhh", [("2", "3", None)]),
        ("hhr", [(None, "2", "3")]),
        ("rhrh", [("2", "2", "3"), ("4", "4", None)]),
    ],
)
def test_stretches_of_versions(verdicts, expected):
    """Null is before the oldest measured version, and after the newest."""
    found = export._stretches({str(n): {"h": "holds", "r": "refuted"}[it] for n, it in enumerate(verdicts, 1)})

    assert [(it["introduced"], it["last"], it["removed"]) for it in found] == expected


def test_json_has_every_verdict(gathered):
    """As the results have it; the schema is that of the file beside the code."""
    made = json.loads(build.made(gathered, "json"))

    jsonschema.validate(made, export.SCHEMA)
    assert sum(len(it["verdicts"]) for it in made["claims"]) == sum(
        run.result.footer["claims"] for run in gathered.runs
    )


def test_junit_fails_on_drift_only(newest, claim, tmp_path):
    """A known refutation passes with its correction; drift is a failure. Control characters do not break the XML."""
    document = json.loads(json.dumps(newest))
    drifting = next(key for key, table in document["claims"].items() if table["verdict"] == "holds")
    document["claims"][drifting]["drift"] = document["claims"][drifting]["specs"][0]["drift"] = True
    (tmp_path / "5.23.json").write_text(json.dumps(counted(document)))
    changed = dataclasses.replace(claim, statement="\x1b[31m<red> & \x00")

    text = export.junit(gather(with_claim(changed), tmp_path.glob("*.json")))

    suite = ElementTree.fromstring(text).find("testsuite")
    assert [case.get("name") for case in suite.findall("testcase[failure]")] == [drifting]
    assert suite.get("failures") == "1"
    assert len(suite.findall("testcase[skipped]")) == int(suite.get("skipped")) > 0
    said = next(case for case in suite.findall("testcase") if case.get("name") == claim.id).find("system-out").text
    assert said.startswith("says: \ufffd[31m<red> & \ufffd\ninstead: ")


# --- how fast is it ---------------------------------------------------------------------------------------------------


def test_without_figures_the_page_says_so(gathered, tmp_path, tab):
    """And names the command that measures."""
    path = tmp_path / "index.html"
    path.write_text(build.html(gathered, lambda: speed.read(tmp_path / "none")))
    tab.goto(f"{path.as_uri()}#speed")

    expect(tab.locator("#no-figures")).to_be_visible()


def test_figures_are_plotted_by_device(gathered, tmp_path, tab):
    """CPU first, GPU apart, with interval, limit and marks; a file that is none is refused; ids do not clash."""
    for device in ("cpu", "GPU <b>"):
        (tmp_path / f"{device[:3]}.json").write_text(document.text(bench_document(device)))
    (tmp_path / "bad.json").write_text('{"schema": 2}')
    path = tmp_path / "index.html"
    path.write_text(build.html(gathered, lambda: speed.read(tmp_path)))
    tab.goto(f"{path.as_uri()}#speed")

    captions = tab.locator("figcaption").all_text_contents()  # some are folded up
    assert captions == [
        "A step of training, 16 x 128, cpu, waterfall",
        "training, 16 x 128, cpu, throughput",
        "A step of training, 16 x 128, GPU, waterfall",
        "training, 16 x 128, GPU, throughput",
    ]
    expect(tab.locator("figure svg").first).to_be_visible()
    ids = tab.locator("[id]").evaluate_all("all => all.map(it => it.id)")
    assert len(ids) == len(set(ids))
    tab.locator("figure summary").first.click()
    expect(tab.locator("figure table").first).to_contain_text("Trainer itself")
    expect(tab.locator(".problems")).to_contain_text("bad.json")
    expect(tab.locator("article.record").last).to_contain_text("transformers 5.23.0 on GPU <b>")
    expect(tab.locator("article.record .mark").first).to_contain_text("interrupted")


def bench_document(device):
    """An interrupted run with one group, as benchmarks write it."""
    work, samples = {"tokens": 2048, "rows": 16, "steps": 1}, [0.01, 0.011, 0.012]
    names = {"Trainer": "subject", "bare loop": "variant", "bare loop, batches on the device": "variant"}
    found = [document.Figure("training, 16 x 128", it, role, work, samples, 0.005) for it, role in names.items()]
    machine = {"processor": "p", "cores": 2, "threads": 1, "memory_bytes": 1, "platform": "Linux", "python": "3.11.7"}
    head = {"schema": 1, "kind": "run", "release": "5.23.0", "device": device, "complete": False, "selection": []}
    head |= {"machine": machine | {"packages": {}, "gpu": None}, "started": "2026-11-23T04:00:00Z", "seconds": 1.0}
    return head | {"figures": document.figures(found), "not_run": []}


def test_built_of_all_releases(folder, tmp_path):
    """From a result of each release the page is under 5 MB; the command says how long it took."""
    files = [str(path) for path in folder.glob("*.json")]
    page = tmp_path / "index.html"

    done = subprocess.run(
        [sys.executable, "-m", "reports", "build", *files, "-o", str(page)], cwd=HOUSE, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert page.stat().st_size < 5e6
    assert re.search(r"59 results, 0 refused, [\d.]+ MB, [\d.]+ s", done.stdout + done.stderr)


def test_first_paint_and_smooth_scrolling(tab, address):
    """First paint under 1 s; while the full matrix is scrolled through, no task of the page takes over 200 ms."""
    tab.goto(f"{address}#today?depth=all")
    tab.wait_for_timeout(500)
    paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    tab.evaluate(
        "() => { window.long = []; new PerformanceObserver(list =>"
        " window.long.push(...list.getEntries().map(it => it.duration))).observe({type: 'longtask'}) }"
    )
    for _ in range(40):
        tab.mouse.wheel(0, 1500)
        tab.wait_for_timeout(20)
    assert tab.evaluate("scrollY") > 10_000
    longest = max(tab.evaluate("window.long"), default=0)

    print(f"first contentful paint {paint:.0f} ms, longest task while scrolling {longest:.0f} ms")
    assert paint < 1000
    assert longest <= 200


# --- the command ------------------------------------------------------------------------------------------------------


def test_watch_builds_again_when_a_result_changes(newest, tmp_path):
    """A result that cannot be read in between is told and survived; Ctrl-C ends it well."""
    result, page = tmp_path / "5.23.json", tmp_path / "index.html"
    result.write_text(json.dumps(newest))
    command = [sys.executable, "-m", "reports", "build", str(result), "-o", str(page), "--watch"]
    process = subprocess.Popen(command, cwd=HOUSE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts)
    try:
        assert "1 results, 0 refused" in process.stderr.readline()
        assert page.exists()
        time.sleep(0.01)
        result.write_text("{")
        assert process.stderr.readline().startswith("NothingRecorded: ")
        result.write_text(json.dumps(newest))
        assert "1 results, 0 refused" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.stderr.close()
