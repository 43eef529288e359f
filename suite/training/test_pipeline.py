"""Slides 18 to 41: the code of the lecture, put together in its order."""

import functools
import math
import runpy
from pathlib import Path

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from fixtures import checkpoints, corpus, scripts


@pytest.fixture
def course(hub, tmp_path, monkeypatch):
    """The Hub has the lecture's model and dataset, and the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    hub.model("bert-base-uncased", checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True))
    files = corpus.repo_files(corpus.splits(train=120, validation=40, test=40))
    hub.dataset("iohadrubin/wikitext-103-raw-v1", files)


@pytest.mark.claim("trainer.trains.whole-lecture")
def test_printed_code(course, evidence):
    """The printed blocks, one after the other, lead from the config to a saved model."""
    code = scripts.printed(18, 19, 23, 30, 32, 33, 35, 38, 40, 41)
    scripts.run(code, evidence)
    AutoModelForMaskedLM.from_pretrained("./final_bert_wikitext103")


@pytest.fixture(scope="module")
def corrected():
    """Runs the corrected script once; the specs look at what it left: its names, and its working directory."""
    return functools.cache(lambda: (runpy.run_path(str(scripts.LECTURE), run_name="__main__"), Path.cwd()))


@pytest.mark.correction("trainer.trains.whole-lecture")
def test_corrected_script(course, corrected):
    """With four corrections the same script trains, evaluates and saves."""
    script, _ = corrected()
    assert all(len(block) == 128 for block in script["lm_datasets"]["train"]["input_ids"])
    assert script["trainer"].state.epoch == 3


@pytest.mark.claim("pipeline.runs")
def test_lecture_runs(course, corrected, evidence):
    """The corrected script runs to its end: a trained, evaluated and saved model."""
    script, folder = corrected()
    results = script["eval_results"]
    evidence["steps"] = script["trainer"].state.global_step
    evidence["evaluation"] = {name: results[name] for name in ("eval_loss", "epoch")}
    assert math.isfinite(results["eval_loss"])
    # The folder alone is a model and its tokenizer.
    model = AutoModelForMaskedLM.from_pretrained(folder / "final_bert_wikitext103")
    tokenizer = AutoTokenizer.from_pretrained(folder / "final_bert_wikitext103")
    assert model.config.vocab_size == len(tokenizer) == 5000
