"""Loading (slides 14 to 25 and 40): `from_pretrained` cold, warm and local, `from_config`, and imports."""

import os
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from fixtures import checkpoints
from suite.benchmarks import training
from suite.benchmarks.run import Contestant


@pytest.fixture
def published(local_hub, tmp_path):
    """A tiny BERT on the local Hub, and its folder."""
    folder = checkpoints.write(tmp_path / "published", "bert", "masked-lm", with_tokenizer=True)
    local_hub.model("tiny-bert", folder)
    return folder


def test_from_pretrained(measure, published, home):
    """A tiny model: cold (an empty cache, asked over loopback), warm, offline from the cache, local, and by config."""
    config = AutoConfig.from_pretrained(str(published))
    load = AutoModelForMaskedLM.from_pretrained

    def cold():
        shutil.rmtree(home / "hf" / "hub", ignore_errors=True)
        load("tiny-bert")

    contestants = [
        Contestant("warm", partial(load, "tiny-bert"), 0, 0, role="subject", once=True),
        Contestant("warm, local_files_only", partial(load, "tiny-bert", local_files_only=True), 0, 0, once=True),
        Contestant("local folder", partial(load, str(published)), 0, 0, once=True),
        Contestant("from_config", partial(AutoModelForMaskedLM.from_config, config), 0, 0, once=True),
        Contestant("cold", cold, 0, 0, once=True),
    ]
    load("tiny-bert")
    measure("loading, tiny", contestants, seconds=8)


def test_at_the_lectures_size(measure, tmp_path):
    """BERT-base, 110 million parameters: random, most of which is drawing numbers, or from a folder.

    A release that only maps the folder's file into memory (5.23 does) reads the values when they are first used.
    """
    build = partial(AutoModelForMaskedLM.from_config, training.base_config())
    load = partial(AutoModelForMaskedLM.from_pretrained, str(tmp_path))
    build().save_pretrained(tmp_path)

    def load_and_use():
        with torch.no_grad():
            for parameter in load().parameters():
                parameter.sum()

    contestants = [
        Contestant("from_config", build, 0, 0, role="subject", once=True),
        Contestant("local folder", load, 0, 0, once=True),
        Contestant("local folder, each value used once", load_and_use, 0, 0, once=True),
    ]
    measure("loading, BERT-base", contestants, seconds=15, warm_up=1)


def test_imports(measure):
    """A new interpreter that imports: nothing, torch, `AutoTokenizer`, `Trainer`. Bytecode is there already.

    `Trainer` also while Python looks for no garbage: an import makes objects that stay.
    """
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}

    def imports(statement):
        subprocess.run([sys.executable, "-c", statement], check=True, env=environment, capture_output=True)

    statements = {
        "Trainer": "from transformers import Trainer",
        "Trainer, gc.disable() before": "import gc; gc.disable(); from transformers import Trainer",
        "AutoTokenizer": "from transformers import AutoTokenizer",
        "torch": "import torch",
        "nothing": "pass",
    }
    contestants = [
        Contestant(name, partial(imports, statement), 0, 0, role="variant" if place else "subject", once=True)
        for place, (name, statement) in enumerate(statements.items())
    ]
    measure("importing", contestants, seconds=16, least=9, warm_up=1)
