"""Files of figures: what is recorded, refused, marked, compared and shown."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from reports.__main__ import main
from reports.bench import commands, document, plots, statistics, tables
from reports.bench.document import BenchError, Figure, MixedDevices

HOUSE = Path(__file__).parents[2]
MACHINE = {
    "processor": "a processor",
    "cores": 2,
    "threads": 1,
    "memory_bytes": 8 * 10**9,
    "platform": "Linux x86_64",
    "python": "3.11.7",
    "packages": {"transformers": "5.23.0", "torch": "2.13.0"},
    "gpu": None,
}
SEEN = {"sm_clock_mhz": 1980, "memory_clock_mhz": 2619, "temperature_c": 40, "power_w": 300.0, "others": 0}
GPU = {"driver": "580.1", "cuda": "13.0", "memory_bytes": 80 * 10**9, "begin": SEEN, "busy": SEEN, "end": SEEN}


def figure(group="collator, lists, 16 x 128", contestant="library", role="subject", seconds=0.002, **others):
    samples = [seconds * (1 + 0.001 * (place % 5)) for place in range(20)]
    work = {"tokens": 2048, "rows": 16, "steps": others.pop("steps", 0)}
    return Figure(group, contestant, role, work, samples, **others)


def made(found=None, **changed):
    found = (
        [figure(limit_seconds=0.0001), figure(contestant="reference", role="reference", seconds=0.0002)]
        if found is None
        else found
    )
    return {
        "schema": 1,
        "kind": "run",
        "release": "5.23.0",
        "device": "cpu",
        "machine": MACHINE,
        "started": "2026-11-23T04:00:00Z",
        "seconds": 12.5,
        "complete": True,
        "selection": [],
        "roof": None,
        "figures": document.figures(found),
        "not_run": [{"name": "test_growth", "reason": "slow"}, {"name": "training in fp16", "reason": "no GPU"}],
    } | changed


def training(device="cpu"):
    """A document with all that plots need."""
    measured = {"flops": 1e9, "bytes": 1e6, "mfu": 0.4, "wait_share": 0.1}
    group = "training, 16 x 128"
    found = [
        figure(group, "Trainer", steps=5, seconds=0.05, limit_seconds=0.01, measured=measured),
        figure(group, "bare loop", "variant", steps=5, seconds=0.04, limit_seconds=0.01, measured=measured),
        figure(group, "bare loop, batches on the device", "variant", steps=5, seconds=0.03, limit_seconds=0.01),
    ]
    return made(found, device=device, roof={"flops_per_s": {"fp32": 1e11}, "bytes_per_s": 1e10})


def axis():
    releases = {"4.57.6": 0.002, "5.0.0": 0.003, "5.23.0": 0.003}
    found = [
        figure("collator", release, "subject" if release == "5.23.0" else "variant", seconds)
        for release, seconds in releases.items()
    ]
    return made(
        found,
        kind="axis",
        changes=[{"group": "collator", "older": "4.57.6", "newer": "5.0.0", "ratio": 1.5, "low": 1.45, "high": 1.55}],
    )


def write(folder, document_, name="run.json"):
    path = folder / name
    path.write_text(document.text(document_))
    return path


@pytest.mark.parametrize("one", [made(), training(), axis(), made(device="GPU", machine=MACHINE | {"gpu": GPU})])
def test_text_is_the_document(one, tmp_path):
    """What is written follows the schema and reads as it was, one line a figure."""
    path = write(tmp_path, one)

    assert document.read(path) == one
    assert len(path.read_text().splitlines()) < 80


def test_file_is_read_without_jsonschema(tmp_path, monkeypatch):
    """A machine that only measures may be without it: what it wrote is taken as it is."""
    path = write(tmp_path, training())
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    assert document.read(path) == training()


def test_comparison_is_in_the_document():
    """Of each contestant, with its group's subject; the subject itself has none."""
    library, reference = document.figures(
        [figure(seconds=0.002), figure(contestant="reference", role="reference", seconds=0.0002)]
    )

    assert library["versus"] is None
    assert reference["versus"]["verdict"] == "faster"
    assert reference["versus"]["ratio"] == pytest.approx(0.1)
    assert reference["seconds"]["low"] <= reference["seconds"]["median"] <= reference["seconds"]["high"]


def test_few_pairs_are_no_interval():
    """Below nine pairs the interval is null in the file: infinity is no JSON."""
    one, other = figure(), figure(contestant="other", role="variant")
    one.samples = other.samples = [0.001] * 3
    found = made([one, other])

    jsonschema.validate(json.loads(json.dumps(found, allow_nan=False)), document.schema())
    assert found["figures"][1]["versus"]["verdict"] == "too few pairs"
    assert "too few pairs (3)" in "\n".join(tables.lines(found))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": 1', "cut off, or not JSON"),
        ('{"schema": 2}', "not a file of figures as of now"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_used_is_refused(text, words, tmp_path, capsys):
    """With the file, the reason and what to do; exit code 3."""
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(BenchError, match=words):
        document.read(path)
    assert main(["bench", "show", str(path)]) == 3
    assert "bad.json" in capsys.readouterr().err


def test_kept_under_device_and_release(tmp_path):
    """A run, an axis and evidence of one device have names of their own; the record is read back."""
    gpu = made(device="NVIDIA H100 80GB HBM3", machine=MACHINE | {"gpu": GPU})
    evidence = {"name": "A/A", "slowdown": 0.0, "pairs": 80, "experiments": 100, "differences": 0, "ratios": [1.0]}
    files = [made(), axis(), gpu, made([], kind="evidence", evidence=[evidence])]
    paths = [write(tmp_path, it, f"{place}.json") for place, it in enumerate(files)]

    document.keep(paths, tmp_path / "bench")

    assert list(document.recorded(tmp_path / "bench")) == [
        "cpu-5.23.0",
        "cpu-axis",
        "cpu-evidence",
        "nvidia-h100-80gb-hbm3-5.23.0",
    ]


def test_part_is_put_into_the_whole(tmp_path):
    """A part that is measured later takes the place of its groups; a whole run takes that of all."""
    folder = tmp_path / "bench"
    document.keep([write(tmp_path, made())], folder)
    growth = made([figure("map, growth")], selection=["test_growth"], not_run=[], started="2026-11-24T04:00:00Z")

    (path,) = document.keep([write(tmp_path, growth)], folder)

    kept = document.read(path)
    assert list(document.by_group(kept)) == ["collator, lists, 16 x 128", "map, growth"]
    assert kept["selection"] == []
    assert kept["started"] == "2026-11-24T04:00:00Z"
    assert made()["not_run"][0]["name"] == "test_growth"
    assert kept["not_run"] == made()["not_run"][1:]
    document.keep([write(tmp_path, made())], folder)
    assert list(document.by_group(document.read(path))) == ["collator, lists, 16 x 128"]


def test_cases_that_were_not_run_are_counted():
    """In the README the cases of one benchmark are named once."""
    not_run = [{"name": f"test_copied[{case}]", "reason": "no GPU"} for case in (16, 256)]

    text = "\n".join(tables.markdown([made(not_run=[*not_run, {"name": "compile", "reason": "slow"}])]))

    assert "Not run: test_copied (2 cases, no GPU); compile (slow)." in text


def test_part_of_another_machine_is_refused(tmp_path):
    """Figures of two processors do not come into one record."""
    folder = tmp_path / "bench"
    document.keep([write(tmp_path, made())], folder)
    other = made(selection=["test_x"], machine=MACHINE | {"processor": "another"})

    with pytest.raises(MixedDevices, match=r"cpu \(a processor, 2 cores\) and cpu \(another, 2 cores\)"):
        document.keep([write(tmp_path, other)], folder)


def test_different_devices_are_never_compared(tmp_path, capsys):
    """Neither a CPU with a GPU, nor two processors; exit code 3."""
    one = write(tmp_path, made(), "one.json")
    for name, other in (
        ("gpu", made(device="GPU", machine=MACHINE | {"gpu": GPU})),
        ("cpu", made(machine=MACHINE | {"cores": 64})),
    ):
        assert main(["bench", "compare", str(one), str(write(tmp_path, other, f"{name}.json"))]) == 3
        assert "MixedDevices" in capsys.readouterr().err


def test_two_runs_are_compared(tmp_path, capsys):
    """A difference is named where the medians' intervals lie apart; what is in one alone is listed."""
    before = write(tmp_path, made(), "before.json")
    slower = made([figure(seconds=0.003), figure("new group")])

    assert main(["bench", "compare", str(before), str(write(tmp_path, slower, "after.json"))]) == 0

    out = capsys.readouterr().out
    assert "collator, lists, 16 x 128, library" in out
    assert "1.5x the time" in out
    assert "not measured in turns" in out
    assert out.index("only in the first") < out.index("reference", out.index("only in the first"))
    assert "new group, library" in out


def test_clocks_are_those_of_a_busy_gpu():
    """An idle one lowers them."""
    idle = SEEN | {"sm_clock_mhz": 345}
    one = made(device="GPU", machine=MACHINE | {"gpu": GPU | {"begin": idle, "end": SEEN | {"sm_clock_mhz": None}}})

    text = "\n".join(tables.lines(one))

    assert "driver 580.1, CUDA 13.0, clocks 1980 MHz when busy (idle: 345 MHz, at the end ? MHz)" in text


def test_marks():
    """Interrupted, a part, not alone on the GPU: said in the terminal."""
    busy = GPU | {"end": SEEN | {"others": 2}}
    one = made(complete=False, selection=["test_x"], device="GPU", machine=MACHINE | {"gpu": busy})

    text = "\n".join(tables.lines(one))

    assert "! interrupted" in text
    assert "! a part only: test_x" in text
    assert "! other processes were on the GPU" in text
    assert "driver 580.1" in text


def test_distance_from_the_limit_is_shown():
    """Beside each figure that has one."""
    text = "\n".join(tables.lines(training()))

    assert "limits: products fp32 0.1 TFLOP/s; memory 10 GB/s" in text
    assert "20.0% of the limit; step 10 ms; waits 10.0%; MFU 40.0%" in " ".join(text.split())


@pytest.mark.parametrize(
    ("one", "kinds"),
    [(training(), ["roofline", "waterfall", "throughput"]), (axis(), ["release axis"]), (made(), ["throughput"])],
)
def test_plots(one, kinds):
    """Each is an SVG in the page's colours, with its figures as rows, and ids of its own."""
    drawn = plots.plots(one, "a-")

    assert [it.kind for it in drawn] == kinds
    for place, it in enumerate(drawn):
        assert it.svg.startswith("<svg aria-hidden")
        assert "var(--ink" in it.svg
        assert f'id="plota-{place}-' in it.svg
        assert all(len(row) == len(it.columns) for row in it.rows)


def test_sizes_of_one_benchmark_are_one_plot():
    """With the size before each name."""
    sizes = [figure("collator, lists, 16 x 128"), figure("collator, lists, 256 x 128", seconds=1e-5), figure("other")]

    drawn = plots.plots(made(sizes))

    assert [it.title for it in drawn] == ["collator, lists", "other"]
    assert [row[0] for row in drawn[0].rows] == ["16 x 128: library", "256 x 128: library"]


def test_waterfall_adds_up():
    """Its parts are the step of Trainer."""
    (waterfall,) = [it for it in plots.plots(training()) if it.kind == "waterfall"]

    assert sum(float(width) for _, width in waterfall.rows) == pytest.approx(10.02, rel=0.01)


def test_plots_are_written(tmp_path, capsys):
    """`python -m reports bench plot` writes a file each."""
    assert main(["bench", "plot", str(write(tmp_path, training())), "-o", str(tmp_path / "drawn")]) == 0
    assert len(list((tmp_path / "drawn").glob("run-*.svg"))) == 3


def test_readme_section(tmp_path, monkeypatch, capsys):
    """Made between its markers; another one is noticed, and a README without markers refused."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    monkeypatch.setattr(commands, "README", readme)
    monkeypatch.setattr(document, "recorded", lambda: {"cpu-axis": write(tmp_path, axis())})

    assert main(["bench", "readme", "--check"]) == 1
    assert main(["bench", "readme"]) == 0
    assert main(["bench", "readme", "--check"]) == 0

    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| what | 4.57.6 | 5.0.0 | 5.23.0 |" in text
    assert "| collator | 0.67 | = | 3.01 ms |" in text
    assert "1.5x the time from 4.57.6 to 5.0.0" in text
    readme.write_text("nothing")
    assert main(["bench", "readme"]) == 3


def test_readme_is_that_of_the_records():
    """The README's section is made from what is recorded now."""
    done = subprocess.run(
        [sys.executable, "-m", "reports", "bench", "readme", "--check"], cwd=HOUSE, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_unknown_name_is_wrong_usage(capsys):
    """Exit code 4, with what is recorded."""
    with pytest.raises(SystemExit) as end:
        main(["bench", "show", "no-such"])

    assert end.value.code == 4
    assert "no figures of 'no-such' are recorded" in capsys.readouterr().err


def test_recorded_files_can_be_used():
    """Each is complete, under the name of its device, and says its versions; a GPU's says driver and clocks."""
    for name, path in document.recorded().items():
        one = document.read(path)
        assert document.name_of(one) == name
        assert one["complete"], name
        assert one["machine"]["packages"]["transformers"]
        if one["device"] != "cpu":
            assert one["machine"]["gpu"]["driver"], name
        for own in one["figures"]:
            assert own["seconds"]["median"] == pytest.approx(
                statistics.median(own["seconds"]["samples"]).median, rel=1e-3
            )


def test_recorded_reference_reaches_half_of_its_limit():
    """On the host, given columns, from 32,768 tokens on: below, calling it takes longer than masking."""
    seen = 0
    for path in document.recorded().values():
        for own in document.read(path)["figures"]:
            if (
                own["group"].startswith("collator, columns")
                and own["role"] == "reference"
                and own["work"]["tokens"] >= 256 * 128
            ):
                seen += 1
                assert tables.of_limit(own) >= 0.5, (path.name, own["group"])
    assert seen
