"""Slides 7 and 9 to 11: what the pages of a model, a dataset and a Space tell, as far as the client can see it."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict, Features, Value, load_dataset, load_dataset_builder
from huggingface_hub import (
    HfApi,
    ModelCard,
    ModelCardData,
    dataset_info,
    model_info,
    snapshot_download,
    space_info,
    upload_file,
)
from huggingface_hub.hf_api import list_spaces  # not at the package's top on the oldest releases
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, pipeline

from fixtures import checkpoints

CARD = "---\nlibrary_name: transformers\npipeline_tag: fill-mask\ntags:\n- safetensors\n---\n# One\n"
# The oldest releases come without safetensors.
FORMAT = "safetensors" if find_spec("safetensors") else "bin"
ROWS = {"train": ["first", "second", "third"], "test": ["last"]}


@pytest.fixture
def student(hub, monkeypatch):
    """A user who is logged in and may write."""
    # Every release reads a token from this variable.
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", hub.token("hf_student", user="student", write=True))


@pytest.fixture
def model(hub, tmp_path):
    """A masked language model with its tokenizer, on the Hub under a card of the spec's choice."""
    files = checkpoints.files(checkpoints.write(tmp_path, weights=FORMAT, with_tokenizer=True))
    return lambda card: hub.model("tiny/one", {**files, "README.md": card})


@pytest.fixture
def pushed(hub, student):
    """A dataset that was uploaded with `push_to_hub`; the log is empty again."""
    DatasetDict({split: Dataset.from_dict({"text": text}) for split, text in ROWS.items()}).push_to_hub("student/rows")
    hub.log.clear()
    return hub.repo("dataset", "student/rows")


# A model's page


@pytest.mark.claim("hub.model-page")
def test_a_page_tells_task_and_libraries(hub):
    """The page of a model tells its task and its libraries."""
    # Slide 7 reads a task and several libraries off a model's page.
    hub.model("tiny/one", {"README.md": CARD, "config.json": "{}"})

    info = model_info("tiny/one")

    assert info.pipeline_tag == "fill-mask"
    assert info.library_name == "transformers"
    assert {"transformers", "safetensors"} <= set(info.tags)
    assert hub.log.file_bytes == 0


@pytest.mark.claim("hub.model-page.from-card")
@pytest.mark.usefixtures("student")
def test_the_author_writes_them_into_the_card(hub):
    """Task and library are what the author has written into the card."""
    hub.model("student/one", {"config.json": "{}"})
    data = ModelCardData(pipeline_tag="text-generation", library_name="transformers", tags=["toy"])
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n# One\n")

    upload_file(path_or_fileobj=str(card).encode(), path_in_repo="README.md", repo_id="student/one")

    info = model_info("student/one")
    assert (info.pipeline_tag, info.library_name) == ("text-generation", "transformers")
    assert "toy" in info.tags


@pytest.mark.claim("hub.model-page.task-used")
@pytest.mark.needs("transformers>=4.25")  # before, the address of the Hub is fixed there
def test_a_pipeline_takes_the_task_from_the_page(model):
    """`pipeline` without a task takes the one that the model's page tells."""
    model(CARD)

    fill = pipeline(model="tiny/one")

    assert fill.task == "fill-mask"
    assert type(fill.model).__name__ == "BertForMaskedLM"


MISLABELLED = "---\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n"


@pytest.mark.claim("hub.model-page.capable")
@pytest.mark.needs("transformers>=4.25")  # before, the address of the Hub is fixed there
def test_a_model_is_capable_of_its_task(model):
    """A model can do the task that its page tells: each time, it is loaded with the head trained for that."""
    # Slide 7 concludes from the task what the model is capable of.
    model(MISLABELLED)

    first, second = (pipeline(model="tiny/one").model.state_dict()["classifier.weight"] for _ in range(2))

    assert torch.equal(first, second)


@pytest.mark.correction("hub.model-page.capable")
def test_the_task_is_the_authors_word(model):
    """Nobody compares the task with the checkpoint: a head that is not in it is made at random."""
    model(MISLABELLED)
    task = model_info("tiny/one").pipeline_tag

    _, info = AutoModelForSequenceClassification.from_pretrained("tiny/one", output_loading_info=True)

    assert task == "text-classification"
    assert {"classifier.weight", "classifier.bias"} <= set(info["missing_keys"])


@pytest.mark.claim("hub.model-page.depends")
def test_a_model_depends_on_its_libraries(model, evidence):
    """The library that a model's page tells is there wherever the model can be used."""
    # Slide 7 says that the model depends on these libraries.
    model("---\nlibrary_name: some-library\n---\n")

    AutoModelForMaskedLM.from_pretrained("tiny/one")

    library = model_info("tiny/one").library_name
    evidence["library"] = library
    assert find_spec(library.replace("-", "_")) is not None


@pytest.mark.correction("hub.model-page.depends")
def test_the_library_is_the_authors_word(model):
    """An Auto class does not look at the library of the page; what it needs is in the checkpoint."""
    model("---\nlibrary_name: some-library\n---\n")

    loaded = AutoModelForMaskedLM.from_pretrained("tiny/one").state_dict()

    assert all(torch.equal(loaded[name], tensor) for name, tensor in checkpoints.state().items())


# A dataset's page


def figures(repo_id):
    """Number of samples by split, as the card of a dataset has it, or nothing."""
    card = dataset_info(repo_id).cardData or {}
    return {split["name"]: split["num_examples"] for split in card.get("dataset_info", {}).get("splits", [])}


@pytest.mark.claim("hub.dataset-page")
def test_a_page_tells_columns_samples_and_size(hub, pushed):
    """A dataset's page tells its columns, the number of its samples and its size, without a download."""
    # Slide 10: data, number of samples and size stand on the page.
    told = dataset_info("student/rows").cardData["dataset_info"]
    assert hub.log.file_bytes == 0

    data = load_dataset("student/rows")

    assert [feature["name"] for feature in told["features"]] == data["train"].column_names
    assert {split["name"]: split["num_examples"] for split in told["splits"]} == data.num_rows
    assert {split["name"]: split["num_bytes"] for split in told["splits"]} == {
        name: split.num_bytes for name, split in data["train"].info.splits.items()
    }
    assert told["dataset_size"] == data["train"].info.dataset_size
    assert told["download_size"] == sum(len(file) for name, file in pushed.files().items() if name.startswith("data/"))


@pytest.mark.claim("hub.dataset-page.builder")
@pytest.mark.usefixtures("pushed")
def test_a_builder_tells_the_same_without_the_data(hub):
    """`load_dataset_builder` tells columns and number of samples without asking for a data file."""
    info = load_dataset_builder("student/rows").info

    assert info.features == Features({"text": Value("string")})
    assert {name: split.num_examples for name, split in info.splits.items()} == {"train": 3, "test": 1}
    assert [line for line in hub.log.files("student/rows") if "data/" in line] == []


@pytest.mark.claim("hub.dataset-page.file-sizes")
def test_the_size_of_any_dataset_is_told(hub):
    """The size of each file is told for every dataset, without a download."""
    files = {"train.txt": b"one\ntwo\n", "more/data.parquet": b"PAR1" * 1000}
    hub.dataset("tiny/one", files)

    info = dataset_info("tiny/one", files_metadata=True)

    assert {file.rfilename: file.size for file in info.siblings} == {name: len(data) for name, data in files.items()}
    assert hub.log.file_bytes == 0


@pytest.mark.claim("hub.dataset-page.plain-files")
def test_the_number_of_samples_of_any_dataset_is_told(hub):
    """The number of samples is told for every dataset, also for one whose files were just uploaded."""
    hub.dataset("tiny/one", {f"{split}.txt": "".join(f"{line}\n" for line in text) for split, text in ROWS.items()})

    assert figures("tiny/one") == {"train": 3, "test": 1}


@pytest.mark.correction("hub.dataset-page.plain-files")
def test_the_number_of_samples_is_known_after_a_download(hub):
    """Where the card has no figures, they are known once the data have been downloaded and read."""
    hub.dataset("tiny/one", {f"{split}.txt": "".join(f"{line}\n" for line in text) for split, text in ROWS.items()})
    assert figures("tiny/one") == {}

    info = load_dataset("tiny/one")["train"].info

    assert {name: split.num_examples for name, split in info.splits.items()} == {"train": 3, "test": 1}


@pytest.mark.correction("hub.dataset-page.plain-files")
def test_a_builder_does_not_know_the_number_of_samples(hub, evidence):
    """`load_dataset_builder`, too, knows no number without the answer of another service, the Dataset Viewer."""
    hub.dataset("tiny/one", {"train.txt": "first\n"})

    info = load_dataset_builder("tiny/one").info

    evidence["viewer"] = [request.path for request in hub.log if "datasets-server." in request.path]
    assert info.splits is None


@pytest.mark.claim("hub.dataset-page.current")
@pytest.mark.usefixtures("student")
def test_the_figures_are_those_of_the_data(hub, pushed, tmp_path):
    """The number of samples that the page tells is that of the data, also after a file was replaced."""
    shorter(tmp_path, pushed)

    assert figures("student/rows")["train"] == 1


@pytest.mark.correction("hub.dataset-page.current")
@pytest.mark.needs("datasets>=2.15")
def test_the_figures_are_those_of_the_last_push(hub, pushed, tmp_path):
    """The figures are those that `push_to_hub` wrote; where the data differ, `load_dataset` refuses to go on."""
    shorter(tmp_path, pushed)

    assert figures("student/rows")["train"] == 3
    with pytest.raises(Exception, match="expected") as caught:
        load_dataset("student/rows")
    assert type(caught.value).__name__ == "NonMatchingSplitsSizesError"
    assert load_dataset("student/rows", verification_mode="no_checks").num_rows["train"] == 1


def shorter(folder, repo):
    """Replace the training split on the Hub by one row."""
    Dataset.from_dict({"text": ["first"]}).to_parquet(str(folder / "one.parquet"))
    (train,) = [name for name in repo.files() if name.startswith("data/train")]
    upload_file(path_or_fileobj=str(folder / "one.parquet"), path_in_repo=train, repo_id=repo.id, repo_type="dataset")


@pytest.mark.claim("hub.dataset-page.browse")
def test_the_first_rows_leave_other_files_on_the_hub(hub):
    """The first rows of a dataset of several files are read without the other files."""
    hub.dataset("tiny/one", {"train/0.txt": "a\nb\n" * 1000, "train/1.txt": "c\nd\n" * 1000})

    rows = load_dataset("tiny/one", split="train", streaming=True).take(3)

    assert [row["text"] for row in rows] == ["a", "b", "a"]
    assert not any(line.endswith(" train/1.txt") for line in hub.log.files("tiny/one"))


@pytest.mark.claim("hub.dataset-page.browse-file")
def test_the_first_row_leaves_the_rest_of_its_file_on_the_hub(hub, evidence):
    """The first row is read without the rest of its file."""
    lines = "one line of a file of a megabyte\n" * 32_768
    hub.dataset("tiny/one", {"train.txt": lines})

    next(iter(load_dataset("tiny/one", split="train", streaming=True)))

    evidence["sent"], evidence["size"] = hub.log.file_bytes, len(lines)
    assert hub.log.file_bytes < len(lines) // 2


@pytest.mark.correction("hub.dataset-page.browse-file")
def test_the_first_row_takes_a_whole_block(hub):
    """Data are read in blocks of several MiB: of a smaller file, the first row takes all."""
    lines = "one line of a file of a megabyte\n" * 32_768
    hub.dataset("tiny/one", {"train.txt": lines})

    next(iter(load_dataset("tiny/one", split="train", streaming=True)))

    assert hub.log.file_bytes >= len(lines)


# A Space's page


APP = "import gradio\n\ngradio.Interface.load('models/tiny/one').launch()\n"
SPACE = {"app.py": APP, "README.md": "---\ntitle: Demo\nsdk: gradio\napp_file: app.py\nmodels:\n- tiny/one\n---\n"}


@pytest.mark.claim("hub.spaces")
def test_a_space_is_an_application_with_a_model(hub):
    """A Space tells what its application is made with, which file starts it, and on which models it builds."""
    # Slide 11 calls Spaces web applications based on trained models.
    hub.space("tiny/demo", SPACE)

    info = space_info("tiny/demo")

    assert info.sdk == "gradio"
    assert info.cardData["app_file"] == "app.py"
    assert info.models == ["tiny/one"]


@pytest.mark.claim("hub.spaces.files")
def test_the_program_of_a_space_is_downloaded(hub):
    """A Space is a repository: its program is downloaded like the files of a model."""
    hub.space("tiny/demo", SPACE)

    folder = Path(snapshot_download("tiny/demo", repo_type="space"))

    assert (folder / "app.py").read_text() == APP
    assert {file.rfilename for file in space_info("tiny/demo").siblings} == set(SPACE)


@pytest.mark.claim("hub.spaces.of-model")
def test_the_spaces_of_a_model_are_asked_for(hub):
    """The client asks the Hub for the Spaces that use a model."""
    hub.space("tiny/demo", SPACE)

    list(list_spaces(models="tiny/one"))

    assert hub.log[-1].query == "models=tiny%2Fone"


@pytest.mark.claim("hub.spaces.runtime")
@pytest.mark.needs("huggingface_hub>=0.21")
def test_a_space_tells_whether_it_runs(hub):
    """The client sees whether the application of a Space runs, and on what."""
    hub.space("tiny/demo", SPACE)

    runtime = HfApi().space_info("tiny/demo").runtime

    assert (runtime.stage, runtime.hardware) == ("RUNNING", "cpu-basic")
