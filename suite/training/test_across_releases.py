"""What the slides take for granted between releases: what one has saved, the others load; ids are ids everywhere."""

import pytest
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from fixtures import checkpoints, folders, vocabulary

# --- saved and loaded again -------------------------------------------------------------------------------------------

KINDS = [(family, head) for family, heads in checkpoints.CLASSES.items() for head in heads]


def loaded(kind, folder):
    """The checkpoint in `folder`, in the class that belongs to it."""
    family, head = kind
    return getattr(transformers, checkpoints.CLASSES[family][head]).from_pretrained(folder)


def changed(before, after):
    """The names of the parameters that are not equal bit for bit."""
    values = dict(after.named_parameters(remove_duplicate=False))
    return [
        name
        for name, value in before.named_parameters(remove_duplicate=False)
        if name not in values or not torch.equal(value, values[name])
    ]


@pytest.fixture(scope="module")
def saved_again(tmp_path_factory):
    """(family, head) -> the names of the parameters that saving and loading has changed."""
    lost = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("-".join(kind))
        model = loaded(kind, checkpoints.write(folder / "given", *kind))
        model.save_pretrained(folder / "saved")
        lost[kind] = changed(model, loaded(kind, folder / "saved"))
    return lost


@pytest.mark.claim("pipeline.saved-is-loaded")
def test_saved_is_loaded(saved_again, evidence):
    """`save_pretrained`, then `from_pretrained`: each parameter of each family and head is what it was."""
    evidence["lost"] = {"-".join(kind): names for kind, names in saved_again.items() if names}
    assert evidence["lost"] == {}


# --- ids --------------------------------------------------------------------------------------------------------------

# Text -> its ids with the vocabularies of `fixtures/vocabulary.py`, the same on 4.23 and 4.57.
IDS = {
    "bert": {
        "It has 12,345 words.": [101, 477, 488, 119, 188, 165, 121, 190, 191, 1597, 199, 214, 167, 102],
        "naïve CAFÉ, don't": [101, 4300, 358, 3065, 286, 165, 576, 160, 147, 102],
        "a  b\t\tc\n\nd": [101, 128, 129, 130, 131, 102],
        "家道真不错!": [101, 111, 116, 115, 107, 100, 154, 102],
        "😀 ok": [101, 100, 142, 206, 102],
        "": [101, 102],
        "x" * 101: [101, 100, 102],
        "keep [MASK] and [SEP] here": [101, 138, 200, 200, 211, 103, 463, 102, 499, 200, 102],
    },
    "roberta": {
        "It has 12,345 words.": [0, 44, 87, 441, 366, 21, 15, 22, 23, 24, 272, 287, 71, 86, 17, 2],
        "naïve CAFÉ, don't": [0, 81, 68, 131, 111, 424, 379, 36, 41, 131, 235, 15, 704, 10, 87, 2],
        "a  b\t\tc\n\nd": [0, 68, 224, 275, 201, 201, 70, 202, 202, 71, 2],
        "家道真不错!": [0, 165, 110, 118, 169, 227, 245, 167, 254, 257, 164, 120, 239, 169, 246, 251, 4, 2],
        "😀 ok": [0, 176, 257, 250, 226, 297, 78, 2],
        "": [0, 2],
        "keep and </s> here": [0, 78, 72, 72, 83, 318, 224, 2, 377, 282, 2],
    },
    "gpt2": {
        "It has 12,345 words.": [40, 83, 437, 362, 17, 11, 18, 19, 20, 268, 283, 67, 82, 13],
        "naïve CAFÉ, don't": [77, 64, 127, 107, 420, 375, 32, 37, 127, 231, 11, 700, 6, 83],
        "a  b\t\tc\n\nd": [64, 220, 271, 197, 197, 66, 198, 198, 67],
        "家道真不错!": [161, 106, 114, 165, 223, 241, 163, 250, 253, 160, 116, 235, 165, 242, 247, 0],
        "😀 ok": [172, 253, 246, 222, 293, 74],
        "": [],
    },
}
HEADS = {"bert": "masked-lm", "roberta": "masked-lm", "gpt2": "causal-lm"}


@pytest.fixture
def tokenizer_of(tmp_path):
    """Family -> its tokenizer, from a folder with the files that the published checkpoints had at first."""

    def tokenizer_of(family):
        folder = checkpoints.write(tmp_path / family, family, HEADS[family], with_tokenizer=True)
        return AutoTokenizer.from_pretrained(folder)

    return tokenizer_of


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("bert", marks=pytest.mark.claim("pipeline.same-ids")),
        pytest.param("roberta", marks=pytest.mark.claim("pipeline.same-ids.roberta")),
        pytest.param("gpt2", marks=pytest.mark.claim("pipeline.same-ids.gpt2")),
    ],
)
def test_ids(tokenizer_of, family, evidence):
    """Each text has the ids that it has on the other releases."""
    tokenizer = tokenizer_of(family)
    ids = {text: tokenizer(text)["input_ids"] for text in IDS[family]}
    evidence["changed"] = {text: found for text, found in ids.items() if found != IDS[family][text]}
    assert ids == IDS[family]


@pytest.fixture
def bare_tokenizer(tmp_path):
    """A BERT tokenizer of which only `vocab.txt` is there."""
    vocabulary.write_uncased(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    return AutoTokenizer.from_pretrained(tmp_path)


@pytest.mark.claim("pipeline.same-ids.lower-case")
def test_lower_case(bare_tokenizer):
    """Where no file says otherwise, BERT's text is lower-cased."""
    assert bare_tokenizer("CAT")["input_ids"] == bare_tokenizer("cat")["input_ids"]


@pytest.mark.correction("pipeline.same-ids.lower-case")
def test_no_lower_case(bare_tokenizer):
    """It is not: each word with a capital letter is unknown to an uncased vocabulary."""
    assert bare_tokenizer("CAT")["input_ids"] == [101, 100, 102] != bare_tokenizer("cat")["input_ids"]


@pytest.mark.claim("pipeline.same-ids.space-before-mask")
def test_space_before_mask(tokenizer_of, evidence):
    """RoBERTa's `<mask>` takes the space before it into itself: no id is left for the space."""
    tokenizer = tokenizer_of("roberta")
    evidence["ids"] = tokenizer("keep <mask> and")["input_ids"]
    assert evidence["ids"] == [0, 78, 72, 72, 83, tokenizer.mask_token_id, 318, 2]


@pytest.mark.correction("pipeline.same-ids.space-before-mask")
def test_space_before_mask_has_an_id(tokenizer_of):
    """The space becomes a token of its own, in front of the mask."""
    tokenizer = tokenizer_of("roberta")
    space = tokenizer(" ")["input_ids"][1]
    assert tokenizer("keep <mask> and")["input_ids"] == [0, 78, 72, 72, 83, space, tokenizer.mask_token_id, 318, 2]


# --- folders of other releases ----------------------------------------------------------------------------------------


# Some releases have the decoder's parameters as parameters of their own; their values are those of these.
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def parameters_of(minor):
    """How the model in the folder of a release loads here: "equal", the names of other parameters, or the error."""
    try:
        model = AutoModelForMaskedLM.from_pretrained(folders.path(minor))
    except Exception as error:  # what comes is the finding; the specs say which are allowed
        return f"{type(error).__name__}: {error}"[:200].replace(str(folders.FOLDER), "")
    others = [
        name
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter, folders.trained(TIED.get(name, name), tuple(parameter.shape)))
    ]
    return others or "equal"


def ids_of(minor):
    """The ids that the tokenizer in the folder of a release gives here, or the error."""
    try:
        return AutoTokenizer.from_pretrained(folders.path(minor))("a <b> Cé! 日本 [MASK] q")["input_ids"]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200].replace(str(folders.FOLDER), "")


A_TEXT = [101, 128, 171, 129, 173, 130, 200, 154, 112, 114, 103, 144, 102]


@pytest.mark.claim("pipeline.folders")
def test_folders_of_all_releases(evidence):
    """A folder with a model that any release has saved loads with each parameter as it was."""
    evidence["folders"] = {minor: parameters_of(minor) for minor in folders.releases()}
    assert set(map(str, evidence["folders"].values())) == {"equal"}


@pytest.mark.correction("pipeline.folders")
def test_folders_with_a_pickle():
    """Those that hold a pickle do; those that hold safetensors alone do not."""
    for minor in folders.releases():
        assert (parameters_of(minor) == "equal") == (folders.path(minor) / "pytorch_model.bin").exists()


@pytest.mark.claim("pipeline.folders.tokenizer")
def test_tokenizers_of_all_releases(evidence):
    """A tokenizer that any release has saved gives the same ids."""
    evidence["ids"] = {minor: ids_of(minor) for minor in folders.releases()}
    assert [minor for minor, ids in evidence["ids"].items() if ids != A_TEXT] == []
