"""Slide 8: the model card is the README.md of a model's repository."""

import contextlib
import json
import re
from dataclasses import replace
from importlib.util import find_spec

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import EvalResult, ModelCard, ModelCardData, metadata_update, upload_file
from huggingface_hub.utils import EntryNotFoundError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from fixtures import checkpoints

METADATA = """\
license: apache-2.0
language:
- en
- de
library_name: transformers
pipeline_tag: fill-mask
"""
TEXT = "\n# One\n\nA small model for tests.\n\n---\n\nNot the end.\n"
CARD = f"---\n{METADATA}---\n{TEXT}"

# The oldest releases come without safetensors.
FORMAT = "safetensors" if find_spec("safetensors") else "bin"

BROKEN = "---\nlicense: mit\ntags: [one\n---\n# One\n"

# Letters, white space and all that means something in YAML or Markdown.
CHARACTERS = st.sampled_from("aény019éß大🙂 \t\n\u00a0-:,.#'\"\\|>~{}[]()&*!?%@`=_")

# Older clients have a card checked by huggingface.co before they push it, whatever the endpoint (2.0 still does).
CARD_CHECK = "huggingface_hub>=2.2"

# Two results of one metric on one dataset: without examples in the prompt, and with five, by somebody else.
RESULTS = [
    EvalResult(
        task_type="text-generation",
        dataset_type="tiny/questions",
        dataset_name="Questions",
        dataset_split="test",
        dataset_args={"num_few_shot": shots},
        metric_type="accuracy",
        metric_value=value,
    )
    for shots, value in ((0, 0.25), (5, 0.75))
]

# Two metrics on each of two splits of one dataset.
BY_SPLIT = [
    EvalResult("fill-mask", "tiny/lines", "Lines", metric, value, dataset_split=split, metric_name=metric.title())
    for split in ("validation", "test")
    for metric, value in (("perplexity", 7.5), ("accuracy", 0.5))
]


@pytest.fixture
def student(hub, monkeypatch):
    """A user who is logged in and may write."""
    # Every release reads a token from this variable.
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", hub.token("hf_student", user="student", write=True))


def saved(card, folder):
    """The bytes of the card when it is saved as a file."""
    card.save(folder / "README.md")
    return (folder / "README.md").read_bytes()


# The card is the README


@pytest.mark.claim("hub.model-card")
def test_the_card_is_the_readme(hub):
    """The card of a model is read from its README.md: the text, and the metadata in front of it."""
    # Slide 8 says that it is the same as README.md on GitHub.
    hub.model("tiny/one", {"README.md": CARD, "config.json": "{}"})

    card = ModelCard.load("tiny/one")

    assert hub.log.files("tiny/one") == ["HEAD README.md", "GET README.md"]
    assert card.text == TEXT
    assert card.data.to_dict() == yaml.safe_load(METADATA)


@pytest.mark.claim("hub.model-card.plain")
def test_a_readme_without_metadata_is_a_card(hub):
    """A README.md as on GitHub, without metadata, is a card: all of it is text."""
    hub.model("tiny/one", {"README.md": TEXT})

    card = ModelCard.load("tiny/one")

    assert card.text == TEXT
    assert card.data.to_dict() == {}


@pytest.mark.claim("hub.model-card.pushed")
@pytest.mark.needs(CARD_CHECK)
@pytest.mark.usefixtures("student")
def test_a_pushed_card_comes_back(hub):
    """A card that was pushed becomes README.md and is loaded again with the same text and metadata."""
    repo = hub.model("student/one", {"config.json": "{}"})

    ModelCard(CARD).push_to_hub("student/one")

    again = ModelCard.load("student/one")
    assert repo.files()["README.md"].decode() == CARD
    assert (again.text, again.data.to_dict()) == (TEXT, yaml.safe_load(METADATA))


@pytest.mark.claim("hub.model-card.text")
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(CHARACTERS), newline=st.sampled_from(["\n", "\r\n"]))
@example(text=TEXT, newline="\n")
@example(text=TEXT, newline="\r\n")
def test_any_text_survives(tmp_path, text, newline):
    """Whatever the text of a card is, it is the same after saving and loading, with either kind of line ends."""
    content = f"---\n{METADATA}---\n{text}".replace("\n", newline)

    ModelCard(content).save(tmp_path / "README.md")

    assert ModelCard.load(tmp_path / "README.md").text == text.replace("\n", newline)


@pytest.mark.correction("hub.model-card.text")
def test_a_text_with_windows_line_ends_grows(tmp_path):
    """With CR LF, each reading puts a line feed in front of the text; with LF the text is the same."""
    text = TEXT.replace("\n", "\r\n")
    card = ModelCard(CARD.replace("\n", "\r\n"))
    assert card.text == "\n" + text

    card.save(tmp_path / "README.md")

    assert ModelCard.load(tmp_path / "README.md").text == "\n\n" + text
    ModelCard(CARD).save(tmp_path / "README.md")
    assert ModelCard.load(tmp_path / "README.md").text == TEXT


VALUES = st.text(CHARACTERS, min_size=1)


@pytest.mark.claim("hub.model-card.metadata")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metadata=st.fixed_dictionaries(
        {},
        optional={
            "license": VALUES,
            "language": st.lists(VALUES, min_size=1) | VALUES,
            "tags": st.lists(VALUES, min_size=1, unique=True),
            "base_model": VALUES,
            "inference": st.booleans() | st.integers() | st.floats(allow_nan=False),
        },
    )
)
def test_any_metadata_survives(tmp_path, metadata):
    """Whatever the entries of a card are, they are the same after saving and loading."""
    card = ModelCard(f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n{TEXT}")
    assert card.data.to_dict() == metadata

    card.save(tmp_path / "README.md")

    assert ModelCard.load(tmp_path / "README.md").data.to_dict() == metadata


BY_HAND = f"---\n# checked by the legal department\nlicense: apache-2.0\nlanguage: [en, de]\n---\n{TEXT}"


@pytest.mark.claim("hub.model-card.same-file")
def test_a_card_is_saved_as_it_was_read(tmp_path):
    """A README.md that is read as a card and saved again is the same file."""
    assert saved(ModelCard(BY_HAND), tmp_path).decode() == BY_HAND


@pytest.mark.correction("hub.model-card.same-file")
def test_the_metadata_are_written_anew(tmp_path):
    """Text and entries stay the same, but the metadata are written anew: comments and the YAML's style are lost."""
    written = saved(ModelCard(BY_HAND), tmp_path).decode()

    assert "checked by" in BY_HAND
    assert "checked by" not in written
    assert ModelCard(written).text == TEXT
    assert ModelCard(written).data.to_dict() == {"license": "apache-2.0", "language": ["en", "de"]}


@pytest.mark.claim("hub.model-card.update")
@pytest.mark.needs(CARD_CHECK)
@pytest.mark.usefixtures("student")
def test_one_entry_is_changed_on_the_hub(hub):
    """One entry of the metadata can be added on the Hub; the other entries, the text and the files stay."""
    repo = hub.model("student/one", {"README.md": CARD, "config.json": "{}"})

    metadata_update("student/one", {"tags": ["toy"]})

    card = ModelCard(repo.files()["README.md"].decode())
    assert card.data.to_dict() == {**yaml.safe_load(METADATA), "tags": ["toy"]}
    assert card.text == TEXT
    assert repo.files()["config.json"] == b"{}"


@pytest.mark.claim("hub.model-card.update")
@pytest.mark.needs(CARD_CHECK)
@pytest.mark.usefixtures("student")
def test_an_entry_is_not_overwritten_by_mistake(hub):
    """An entry that is there already is only changed by who says so."""
    repo = hub.model("student/one", {"README.md": CARD})

    with pytest.raises(ValueError, match="license"):
        metadata_update("student/one", {"license": "mit"})
    assert len(repo.commits) == 1
    metadata_update("student/one", {"license": "mit"}, overwrite=True)
    assert ModelCard.load("student/one").data.license == "mit"


# What it tells


@pytest.mark.claim("hub.model-card.results")
def test_a_card_has_evaluation_results(hub):
    """The evaluation results of a card are read one by one: task, dataset, split, metric, value."""
    card = """\
---
model-index:
- name: one
  results:
  - task: {type: text-generation, name: Answers}
    dataset: {type: tiny/questions, name: Questions, split: test, args: {num_few_shot: 0}}
    metrics: [{type: accuracy, value: 0.25}, {type: f1, value: 0.5}]
  - task: {type: text-generation, name: Answers}
    dataset: {type: tiny/questions, name: Questions, split: test, args: {num_few_shot: 5}}
    metrics: [{type: accuracy, value: 0.75}]
---
"""
    hub.model("tiny/one", {"README.md": card})

    data = ModelCard.load("tiny/one").data

    assert data.model_name == "one"
    assert {(r.task_type, r.dataset_type, r.dataset_split) for r in data.eval_results} == {
        ("text-generation", "tiny/questions", "test")
    }
    assert [(r.dataset_args["num_few_shot"], r.metric_type, r.metric_value) for r in data.eval_results] == [
        (0, "accuracy", 0.25),
        (0, "f1", 0.5),
        (5, "accuracy", 0.75),
    ]


@pytest.mark.claim("hub.model-card.results-written")
def test_evaluation_results_come_back(tmp_path):
    """Evaluation results that are written into a card are the same when they are loaded."""
    data = ModelCardData(model_name="one", eval_results=BY_SPLIT)

    ModelCard(f"---\n{data.to_yaml()}\n---\n").save(tmp_path / "README.md")
    again = ModelCard.load(tmp_path / "README.md").data

    assert again.model_name == "one"
    assert again.eval_results == BY_SPLIT


@pytest.mark.correction("hub.model-card.results-written")
def test_evaluation_results_come_back_with_the_first_ones_split():
    """Results of one task on one dataset get the first one's split; metrics and values are the same."""
    data = ModelCardData(model_name="one", eval_results=BY_SPLIT)

    again = ModelCard(f"---\n{data.to_yaml()}\n---\n").data.eval_results

    assert again == [replace(result, dataset_split="validation") for result in BY_SPLIT]


@pytest.mark.claim("hub.model-card.results-apart")
def test_results_are_kept_apart(evidence):
    """Two results that differ in how the dataset was used are still two after writing the card and reading it."""
    data = ModelCardData(model_name="one", eval_results=RESULTS)

    again = ModelCard(f"---\n{data.to_yaml()}\n---\n").data.eval_results

    evidence["read"] = [{"args": result.dataset_args, "value": result.metric_value} for result in again]
    assert again == RESULTS


@pytest.mark.correction("hub.model-card.results-apart")
def test_results_are_told_apart_by_split_and_revision():
    """Results that share task, dataset, configuration, split and revision all get the first one's arguments."""
    data = ModelCardData(model_name="one", eval_results=RESULTS)

    again = ModelCard(f"---\n{data.to_yaml()}\n---\n").data.eval_results

    assert [result.metric_value for result in again] == [0.25, 0.75]
    assert [result.dataset_args for result in again] == [{"num_few_shot": 0}, {"num_few_shot": 0}]


@pytest.mark.claim("hub.model-card.usage")
def test_the_usage_of_a_card_runs(hub, tmp_path):
    """A snippet in the text of a card is read as it was written, and runs."""
    usage = """
from transformers import AutoModelForMaskedLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("tiny/one")
model = AutoModelForMaskedLM.from_pretrained("tiny/one")
logits = model(**tokenizer("The [MASK] of the city.", return_tensors="pt")).logits
"""
    files = checkpoints.files(checkpoints.write(tmp_path, weights=FORMAT, with_tokenizer=True))
    hub.model("tiny/one", {**files, "README.md": f"{CARD}\n## Usage\n\n```python{usage}```\n"})

    (code,) = re.findall(r"```python(.*?)```", ModelCard.load("tiny/one").text, flags=re.DOTALL)
    names = {}
    exec(code, names)

    assert code == usage
    assert names["logits"].shape[-1] == checkpoints.config()["vocab_size"]


# Cards that are broken or missing


@pytest.mark.claim("hub.model-card.broken")
def test_a_broken_card_gives_the_documented_error(hub):
    """Metadata that cannot be read give the error that the client documents for them, a `ValueError`."""
    hub.model("tiny/one", {"README.md": BROKEN})

    with pytest.raises(ValueError):  # noqa: PT011
        ModelCard.load("tiny/one")


@pytest.mark.correction("hub.model-card.broken")
def test_a_broken_card_gives_the_yaml_error(hub):
    """YAML that is broken gives YAML's own error, which names neither the model nor README.md."""
    hub.model("tiny/one", {"README.md": BROKEN})

    with pytest.raises(yaml.MarkedYAMLError) as caught:
        ModelCard.load("tiny/one")

    # The file's line 3 is line 2 of the metadata; it is counted from 0.
    mark = caught.value.context_mark
    assert (mark.name, mark.line) == ("<unicode string>", 1)
    assert "README" not in str(caught.value)
    assert "tiny/one" not in str(caught.value)


@pytest.mark.correction("hub.model-card.broken")
def test_broken_yaml_of_a_dataset_stops_its_loading(hub):
    """A dataset whose card is broken cannot be loaded either: the same error."""
    hub.dataset("tiny/one", {"README.md": BROKEN, "train.txt": "one\n"})

    with pytest.raises(yaml.MarkedYAMLError):
        load_dataset("tiny/one")


@pytest.mark.claim("hub.model-card.not-yaml")
@pytest.mark.parametrize("metadata", ["- a list\n", "just text\n"])
def test_metadata_of_a_wrong_kind_give_the_documented_error(hub, metadata):
    """YAML that is well formed but no metadata of a card gives a `ValueError`."""
    hub.model("tiny/one", {"README.md": f"---\n{metadata}---\n"})

    with pytest.raises(ValueError):  # noqa: PT011
        ModelCard.load("tiny/one")


HALF_A_RESULT = "model-index:\n- name: one\n  results:\n  - task: {type: fill-mask}\n"


@pytest.mark.claim("hub.model-card.half-results")
def test_results_that_cannot_be_read_are_not_lost():
    """Evaluation results that lack something required are refused, or else kept as they are."""
    with contextlib.suppress(ValueError):
        assert ModelCard(f"---\n{HALF_A_RESULT}---\n").data.to_dict() == yaml.safe_load(HALF_A_RESULT)


@pytest.mark.correction("hub.model-card.half-results")
def test_results_that_cannot_be_read_are_left_out():
    """Evaluation results that lack something required are left out of the card, which is loaded without them."""
    assert ModelCard(f"---\n{HALF_A_RESULT}---\n").data.to_dict() == {}


@pytest.mark.claim("hub.model-card.broken-model")
def test_a_broken_card_does_not_stop_a_model(hub):
    """A model whose card is broken is loaded all the same: nobody reads the card for that."""
    hub.model("tiny/one", {"config.json": json.dumps(checkpoints.config()), "README.md": BROKEN})

    assert AutoConfig.from_pretrained("tiny/one").model_type == "bert"
    assert "GET README.md" not in hub.log.files("tiny/one")


@pytest.mark.claim("hub.model-card.broken-upload")
@pytest.mark.usefixtures("student")
def test_a_broken_card_is_not_uploaded(hub):
    """A card that is broken is refused before it is uploaded."""
    repo = hub.model("student/one", {"README.md": CARD})

    with contextlib.suppress(ValueError):
        upload_file(path_or_fileobj=BROKEN.encode(), path_in_repo="README.md", repo_id="student/one")

    assert repo.files() == {"README.md": CARD.encode()}


@pytest.mark.correction("hub.model-card.broken-upload")
@pytest.mark.usefixtures("student")
def test_a_broken_card_is_uploaded_unseen(hub):
    """A card is uploaded as it is, broken or not."""
    repo = hub.model("student/one", {"README.md": CARD})

    upload_file(path_or_fileobj=BROKEN.encode(), path_in_repo="README.md", repo_id="student/one")

    assert repo.files() == {"README.md": BROKEN.encode()}


@pytest.mark.claim("hub.model-card.none")
def test_a_model_without_a_card(hub):
    """A model without a README.md has no card, and an error says that this file is missing."""
    hub.model("tiny/one", {"config.json": "{}"})

    with pytest.raises(EntryNotFoundError, match=r"README\.md"):
        ModelCard.load("tiny/one")
