"""The ledger is parsed once, into frozen records, and whatever is wrong with it has a name."""

import importlib
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from reports import ledger

HOUSE = Path(__file__).parents[2]

DECK = """
[deck]
title = "a lecture"
slides = 5
parts = [{ title = "1", slides = [1, 3] }, { title = "2", slides = [4, 5] }]
"""

CLAIM = """
["mask.rate"]
slide = 3
statement = "15 % of the tokens are chosen."
"""

FLIP = CLAIM + 'flips = [{ version = "4.46.0", to = "refuted", package = '


def read(tmp_path: Path, text: str) -> ledger.Ledger:
    path = tmp_path / "claims.toml"
    path.write_text(DECK + text, encoding="utf-8")
    return ledger.load(path)


def test_claim_without_range_holds_wherever_it_is_measured(tmp_path):
    """Nothing said of versions means: on all of them."""
    claim = read(tmp_path, CLAIM)["mask.rate"]

    assert claim.slides == (3,)
    assert claim.holds_on({"transformers": "4.23.1"})
    assert claim.holds_on({})


def test_range_needs_all_of_its_packages(tmp_path):
    """A claim holds where each package that its range names is inside."""
    claim = read(tmp_path, CLAIM + 'holds = { transformers = ">=4.41,<5", datasets = "<4" }\ncorrection = "no"')[
        "mask.rate"
    ]

    assert claim.holds_on({"transformers": "4.41.0", "datasets": "3.6.0"})
    assert not claim.holds_on({"transformers": "4.40.2", "datasets": "3.6.0"})
    assert not claim.holds_on({"transformers": "4.41.0", "datasets": "4.0.0"})


def test_one_of_several_ranges_is_enough(tmp_path):
    """What was lost and came back has a range before and one after."""
    claim = read(tmp_path, CLAIM + 'holds = { transformers = ["<4.52", ">=5.14"] }\ncorrection = "no"')["mask.rate"]

    assert claim.holds_on({"transformers": "4.51.3"})
    assert not claim.holds_on({"transformers": "5.13.0"})
    assert claim.holds_on({"transformers": "5.14.0"})


def test_never_holds_nowhere(tmp_path):
    """`holds = "never"` is for a claim that no release fulfils."""
    assert not read(tmp_path, CLAIM + 'holds = "never"\ncorrection = "no"')["mask.rate"].holds_on({})


def test_range_of_a_package_that_is_not_installed_is_an_error(tmp_path):
    """A verdict cannot be expected without the version it depends on."""
    claim = read(tmp_path, CLAIM + 'holds = { dtasets = "<4" }\ncorrection = "no"')["mask.rate"]

    with pytest.raises(ledger.UnknownKey, match=r"mask\.rate.*dtasets"):
        claim.holds_on({"datasets": "3.6.0"})


def test_records_are_frozen(tmp_path):
    """Nobody changes the ledger during a run."""
    with pytest.raises(FrozenInstanceError):
        read(tmp_path, CLAIM)["mask.rate"].statement = "14 %"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        pytest.param(CLAIM + 'hold = "never"', ledger.UnknownKey, r"mask\.rate: unknown key hold;", id="unknown-key"),
        pytest.param('["a.b"]\nslide = 3', ledger.UnknownKey, r"a\.b: lacks statement", id="missing-key"),
        pytest.param(CLAIM + CLAIM, ledger.DuplicateClaim, r"mask\.rate", id="duplicate"),
        pytest.param(CLAIM + 'holds = { transformers = "4.41+" }', ledger.BadSpecifier, r"4\.41\+", id="specifier"),
        pytest.param(CLAIM + "holds = { transformers = [] }", ledger.BadSpecifier, r"\[\] is no range", id="no-range"),
        pytest.param(CLAIM + "holds = { transformers = 4 }", ledger.BadSpecifier, r"= 4 is not", id="number"),
        pytest.param(CLAIM + 'holds = "always"', ledger.BadValue, r"holds has to be", id="holds"),
        pytest.param(CLAIM + 'holds = "never"', ledger.RangeWithoutCorrection, r"mask\.rate", id="no-correction"),
        pytest.param(CLAIM + 'correction = " "', ledger.BadValue, r"correction has to be a text", id="empty"),
        pytest.param(CLAIM + 'not_run = "too lazy"', ledger.BadValue, r"'too lazy' is no reason", id="reason"),
        pytest.param(CLAIM + "refuted_by = []", ledger.BadValue, r"name an exception", id="refuted-by"),
        pytest.param('["a.b"]\nslide = 6\nstatement = "x"', ledger.BadValue, r"from 1 to 5", id="slide"),
        pytest.param("[a.b]\nslide = 3\nstatement = 'x'", ledger.BadValue, r'in quotes: \["a\.b"\]', id="no-quotes"),
        pytest.param(CLAIM + "flips = 3", ledger.BadValue, r"flips has to be a list", id="flips"),
        pytest.param(
            FLIP + '"torch" }]', ledger.UnknownPackage, r"mask\.rate: 'torch' is no package", id="flip-package"
        ),
        pytest.param(
            FLIP.replace("4.46.0", "new") + '"datasets" }]', ledger.BadVersion, r"mask\.rate: 'new'", id="flip-version"
        ),
        pytest.param(
            FLIP.replace("refuted", "error") + '"datasets" }]', ledger.BadValue, r"not to 'error'", id="flip-verdict"
        ),
        pytest.param(FLIP + '"datasets", link = "http://x" }]', ledger.BadLink, r"link = 'http://x'", id="flip-link"),
        pytest.param(FLIP + '"datasets", with = ["x"] }]', ledger.UnknownPackage, r"'x' is no package", id="flip-with"),
        pytest.param(FLIP + '"datasets", by = "x" }]', ledger.UnknownKey, r"wrong: by", id="flip-key"),
        pytest.param(
            CLAIM + 'flips = [{ to = "holds" }]', ledger.UnknownKey, r"wrong: package, version", id="flip-part"
        ),
        pytest.param("nonsense", ledger.UnreadableLedger, r"claims\.toml", id="not-toml"),
    ],
)
def test_what_is_wrong_has_a_name(tmp_path, text, error, message):
    """Each mistake raises its own error, which names the claim."""
    with pytest.raises(error, match=message):
        read(tmp_path, text)


def test_flips_are_read(tmp_path):
    """Which release of which package changed a verdict, and to what."""
    claim = read(tmp_path, FLIP + '"datasets", with = ["pyarrow"], link = "https://x" }]')["mask.rate"]
    assert claim.flips == (ledger.Flip("datasets", "4.46.0", "refuted", ("pyarrow",), "https://x"),)


def test_missing_file_is_named(tmp_path):
    """A ledger that is not there is said to be so."""
    with pytest.raises(ledger.UnreadableLedger, match="nowhere"):
        ledger.load(tmp_path / "nowhere.toml")


def test_unknown_ids_patterns_and_slides_are_refused(tmp_path):
    """What the ledger does not have is an error, not an empty answer."""
    claims = read(tmp_path, CLAIM)

    with pytest.raises(ledger.UnknownClaim, match=r"'mask\.rat'"):
        claims["mask.rat"]
    with pytest.raises(ledger.UnknownClaim, match=r"'data\.\*'"):
        claims.matching("data.*")
    with pytest.raises(ledger.UnknownClaim, match="slides 1 to 5"):
        claims.on_slide(6)
    with pytest.raises(ledger.UnknownClaim, match="slide 4 claims nothing; these do: 3"):
        claims.on_slide(4)


def test_the_real_ledger_is_sound():
    """The ledger of the lecture loads, and code that it shows fits a terminal of 80 columns below its label."""
    claims = ledger.load()

    assert len(claims.claims) >= len(CATALOGUE)
    too_wide = [claim.id for claim in claims for line in (claim.instead or "").splitlines() if len(line) > 80 - 6]
    assert not too_wide


def test_refuting_exceptions_exist():
    """Each exception that refutes a claim can be imported here, or comes from a library that the Hub client has used.

    A run leaves out those whose package is missing; a name with a typing error must not hide behind that.
    """
    for claim in ledger.load():
        for name in claim.refuted_by:
            module, _, attribute = name.rpartition(".")
            if module.partition(".")[0] not in ("requests", "httpx", "httpx2"):
                assert issubclass(getattr(importlib.import_module(module or "builtins"), attribute), BaseException)


def test_ids_are_those_of_the_catalogue():
    """Each row of the catalogue is in the ledger, and every id there is a row or a part of one."""
    ids = set(ledger.load().claims)

    assert sorted(CATALOGUE - ids) == []
    assert sorted(claim for claim in ids if not {claim, ".".join(claim.split(".")[:2])} & CATALOGUE) == []


#: The sentences of the lecture, one id each; ids never change. Parts of a row are called `row.part`.
CATALOGUE = frozenset(
    """
    hub.kinds hub.download hub.upload hub.model-page hub.model-card hub.dataset-page hub.spaces
    hub.organizations
    load.needs-four-things load.auto-classes-cover load.id-and-class
    config.local-first config.cache-second config.cache-path config.hub-last config.model-type config.defaults
    config.other-items config.architectures config.sample-is-base-uncased
    heads.masked-lm-perfect heads.base-ignores-head heads.classifier-random heads.every-class
    tokenizer.same-order tokenizer.class-first tokenizer.logic-module
    weights.explicit-config-skips weights.class-chosen weights.random-then-loaded weights.files
    weights.all-loaded
    inference.snippet inference.shapes inference.text
    data.package-name data.splits data.columns data.rows data.serving
    tokenize.batched-map tokenize.special-mask tokenize.removes-text tokenize.columns tokenize.ids
    chunk.concatenates chunk.blocks chunk.drops-tail chunk.all-columns
    mask.static-in-map mask.dynamic mask.rate mask.static-overfits
    args.accepted args.block args.best-needs-match args.from-shell
    init.pretrained-is-trained init.config-is-random
    trainer.arguments trainer.saves-tokenizer trainer.trains trainer.per-epoch trainer.best-loaded
    trainer.evaluates trainer.saves trainer.fp16 trainer.logging
    scripts.modes
    pipeline.runs pipeline.saved-is-loaded pipeline.same-ids pipeline.folders
    """.split()
)


def corrected(text):
    """What the ids look like that a file of specs marks as corrected: some have a part for each task (`{task}`)."""
    ids = re.findall(r'correction\(f?"([^"]+)"\)', text)
    return [re.compile(r"[a-z]+".join(map(re.escape, re.split(r"{[^}]*}", made)))) for made in ids]


def test_code_that_is_shown_is_code_that_runs():
    """Each line of code that the ledger recommends stands in a spec of that claim's correction, or in a script."""
    specs = [path.read_text(encoding="utf-8") for path in HOUSE.glob("suite/*/test_*.py")]
    scripts = [path.read_text(encoding="utf-8") for path in HOUSE.glob("fixtures/scripts/*.*")]
    strange = []
    for claim in ledger.load():
        near = [text for text in specs if any(made.fullmatch(claim.id) for made in corrected(text))]
        run = "".join("".join([*near, *scripts]).split())  # white space aside: the spec may indent or wrap it
        lines = (claim.instead or "").splitlines()
        strange += [f"{claim.id}: {line}" for line in lines if "".join(line.split()) not in run]
    assert strange == []
