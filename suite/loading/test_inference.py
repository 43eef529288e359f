"""Slide 26: a text goes in, logits come out, and what is predicted."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
)

from fixtures import checkpoints, vocabulary
from fixtures.scripts import printed, run

SENTENCE = "这家餐厅味道真不错！"  # noqa: RUF001
# "Really not bad" and "really not good" differ in one character.
COMPLAINT = SENTENCE.replace("不错", "不妙")


@pytest.fixture
def published(hub, tmp_path):
    """A tiny masked-LM checkpoint under the lecture's id."""
    hub.model("bert-base-uncased", checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoints.write(tmp_path_factory.mktemp("bert") / "model", "bert", "masked-lm", with_tokenizer=True)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForMaskedLM.from_pretrained(folder)


# The snippet


@pytest.mark.claim("inference.snippet")
def test_snippet_as_printed(published, evidence, capsys):
    """The printed code, run alone, prints one id."""
    run(printed(26), evidence)

    assert re.fullmatch(r"Predicted ID: \d+\n", capsys.readouterr().out)


def train_to_fill_in(sentences):
    """A tiny BERT that has learnt by heart which word is missing where, {text with [MASK]: word}."""
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    inputs = tokenizer(list(sentences), return_tensors="pt", padding=True)
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[inputs["input_ids"] == tokenizer.mask_token_id] = torch.tensor(
        tokenizer.convert_tokens_to_ids(list(sentences.values()))
    )
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig.from_pretrained("bert-base-uncased"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


SENTENCES = {"in the first [MASK]": "time", "she was one of [MASK] others": "many"}


@pytest.fixture
def trained(hub, published, tmp_path):
    """A checkpoint under the lecture's id that has learnt `SENTENCES`."""
    train_to_fill_in(SENTENCES).save_pretrained(tmp_path / "trained")
    repo = hub.repo("model", "bert-base-uncased")
    # Releases save in different formats, and one that is left from before would be read first.
    untrained = dict.fromkeys(name for name in repo.files() if name.endswith((".safetensors", ".bin")))
    repo.commit(untrained | checkpoints.files(tmp_path / "trained"))


@pytest.mark.correction("inference.snippet")
def test_prediction_at_the_mask(trained):
    """With a mask in the text the prediction at that position is the missing word."""
    predicted = {}
    for text in SENTENCES:
        model_id = "bert-base-uncased"
        tokenizer = AutoTokenizer.from_pretrained(model_id)
        model = AutoModelForMaskedLM.from_pretrained(model_id)
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits
        masked = inputs["input_ids"][0] == tokenizer.mask_token_id
        position = masked.nonzero().item()
        predicted[text] = tokenizer.decode([logits[0, position].argmax().item()])

    assert predicted == SENTENCES


@pytest.mark.correction("inference.snippet")
def test_missing_word_is_printed(trained, capsys):
    """After slides 18, 19, 23 and 24, which define tokenizer and model, the corrected snippet prints the word."""
    names = run(printed(18, 19, 23, 24), {})
    tokenizer, model = names["tokenizer"], names["model"]
    capsys.readouterr()

    text = "in the first [MASK]"
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    masked = inputs["input_ids"][0] == tokenizer.mask_token_id
    position = masked.nonzero().item()
    print(tokenizer.decode([logits[0, position].argmax().item()]))

    assert capsys.readouterr().out == "time\n"


@pytest.mark.claim("inference.snippet.slides-before")
def test_slides_before(published, evidence):
    """The code of slides 18, 19, 23, 24 and 40 runs in this order."""
    names = run(printed(18, 19, 23, 24, 40), evidence)

    assert names["config"].model_type == "bert"
    assert len(names["tokenizer"]) == vocabulary.WORDPIECE_SIZE
    assert type(names["model"]) is BertForMaskedLM


@pytest.mark.claim("inference.snippet.with-slides-18-to-24")
def test_snippet_after_the_slides_before(published, evidence, capsys):
    """After the code of slides 18, 19, 23 and 24, which define `model`, the snippet prints one id."""
    run(printed(18, 19, 23, 24, 26), evidence)

    assert re.fullmatch(r"Predicted ID: \d+\n", capsys.readouterr().out)


@pytest.mark.correction("inference.snippet.with-slides-18-to-24")
def test_one_id_per_token(tokenizer, model):
    """A masked-LM predicts one id for every token, the two ends included."""
    inputs = tokenizer(SENTENCE, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted_ids = logits.argmax(dim=-1)[0].tolist()

    assert inputs["input_ids"].shape == (1, 12)
    assert len(predicted_ids) == 12
    assert all(0 <= number < vocabulary.WORDPIECE_SIZE for number in predicted_ids)


@pytest.mark.claim("inference.snippet.classifier")
def test_snippet_with_a_classifier(hub, tmp_path, evidence, capsys):
    """With a classification head, as the name `predicted_class_id` has it, the snippet prints one class."""
    folder = checkpoints.write(tmp_path / "model", "bert", "classification", with_tokenizer=True)
    hub.model("bert-base-uncased", folder)
    slide_24 = printed(24).replace("AutoModelForMaskedLM", "AutoModelForSequenceClassification")
    imported = "from transformers import AutoModelForSequenceClassification\n"

    names = run(imported + printed(18, 19, 23) + slide_24 + printed(26), evidence)

    evidence["printed"] = capsys.readouterr().out
    expected = AutoModelForSequenceClassification.from_pretrained(folder)(**names["inputs"]).logits[0].argmax().item()
    assert evidence["printed"] == f"Predicted ID: {expected}\n"
    assert names["probabilities"].shape == (1, 2)


# Logits and probabilities


@pytest.mark.claim("inference.shapes")
@settings(max_examples=20)
@given(texts=st.lists(st.lists(st.sampled_from(vocabulary.wordpieces()[500:]), max_size=20), min_size=1, max_size=3))
def test_logits_and_probabilities(tokenizer, model, texts):
    """One logit per text, token and vocabulary entry; the softmax over the last dimension makes probabilities."""
    inputs = tokenizer([" ".join(words) for words in texts], return_tensors="pt", padding=True)

    with torch.no_grad():
        outputs = model(**inputs)
    logits = outputs.logits
    probabilities = torch.nn.functional.softmax(logits, dim=-1)

    assert logits.shape == (*inputs["input_ids"].shape, vocabulary.WORDPIECE_SIZE)
    assert torch.isfinite(logits).all()
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(inputs["input_ids"].shape))


@pytest.mark.claim("inference.shapes.no-gradient")
def test_no_gradient(tokenizer, model):
    """Under `no_grad` the logits belong to no graph; without it they do."""
    inputs = tokenizer(SENTENCE, return_tensors="pt")

    with torch.no_grad():
        outputs = model(**inputs)

    assert not outputs.logits.requires_grad
    assert model(**inputs).logits.requires_grad


@pytest.mark.claim("inference.shapes.repeatable")
def test_same_logits_again(tokenizer, model):
    """The same text gives the same logits again: a loaded model is in evaluation mode."""
    inputs = tokenizer(SENTENCE, return_tensors="pt")

    with torch.no_grad():
        first, second = model(**inputs).logits, model(**inputs).logits

    assert torch.equal(first, second)


@pytest.mark.claim("inference.shapes.repeatable")
def test_other_logits_in_training_mode(tokenizer, folder):
    """In training mode dropout makes the logits differ each time."""
    inputs = tokenizer(SENTENCE, return_tensors="pt")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.train()

    with torch.no_grad():
        first, second = model(**inputs).logits, model(**inputs).logits

    assert not torch.equal(first, second)


# A Chinese sentence for an English model


@pytest.mark.claim("inference.text")
def test_chinese_sentence(tokenizer, model):
    """The sentence can be tokenised, and the model gives logits for it."""
    inputs = tokenizer(SENTENCE, return_tensors="pt")

    with torch.no_grad():
        outputs = model(**inputs)

    assert torch.isfinite(outputs.logits).all()


@pytest.mark.claim("inference.text.characters")
def test_a_token_per_character(tokenizer, evidence):
    """Each character of the sentence, the exclamation mark included, becomes a token of its own."""
    tokens = tokenizer.tokenize(SENTENCE)

    evidence["tokens"] = tokens
    assert len(tokens) == len(SENTENCE)
    assert all(token in (character, "[UNK]") for token, character in zip(tokens, SENTENCE, strict=True))


@pytest.mark.claim("inference.text.represented")
def test_no_unknown_character(tokenizer, evidence):
    """The model is told every character: none is unknown."""
    tokens = tokenizer.tokenize(SENTENCE)

    evidence["unknown"] = [c for c, token in zip(SENTENCE, tokens, strict=True) if token == "[UNK]"]
    assert "[UNK]" not in tokens


@pytest.mark.correction("inference.text.represented")
def test_characters_without_an_entry(tokenizer):
    """Five of the ten characters become [UNK], so that praise and complaint are the same to the model."""
    ids = tokenizer(SENTENCE)["input_ids"]

    assert ids.count(tokenizer.unk_token_id) == 5
    assert ids == tokenizer(COMPLAINT)["input_ids"]


@pytest.fixture
def published_chinese(hub, tmp_path):
    """A tiny masked-LM checkpoint under the id of the Chinese one, whose vocabulary has the sentence's characters.

    They stand where unused entries were; each other character of Chinese is as unknown as before.
    """
    folder = checkpoints.write(tmp_path / "chinese", "bert", "masked-lm", with_tokenizer=True)
    entries = list(vocabulary.wordpieces())
    for number, character in enumerate(sorted({*SENTENCE, *COMPLAINT} - {*entries}), start=1):
        entries[number] = character
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()  # it is made of the other vocabulary
    hub.model("bert-base-chinese", folder)


@pytest.mark.correction("inference.text.represented")
def test_vocabulary_with_the_characters(published_chinese):
    """With a vocabulary that has the characters none is unknown; praise and complaint are two things to the model."""
    model_id = "bert-base-chinese"
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    model = AutoModelForMaskedLM.from_pretrained(model_id)
    inputs = tokenizer([SENTENCE, COMPLAINT], return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits

    assert tokenizer.tokenize(SENTENCE) == list(SENTENCE)
    assert not (inputs["input_ids"] == tokenizer.unk_token_id).any()
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.claim("inference.text.round-trip")
def test_decoded_sentence(tokenizer, evidence):
    """Decoding the ids gives the sentence back."""
    ids = tokenizer(SENTENCE)["input_ids"]

    evidence["decoded"] = tokenizer.decode(ids, skip_special_tokens=True)
    assert evidence["decoded"].replace(" ", "") == SENTENCE


@pytest.mark.correction("inference.text.round-trip")
def test_decoded_sentence_is_shorter(tokenizer):
    """What is decoded are the characters with an entry; the others are lost."""
    ids = tokenizer(SENTENCE)["input_ids"]

    decoded = tokenizer.decode(ids, skip_special_tokens=True)

    assert decoded.replace(" ", "") == "".join(c for c in SENTENCE if c in vocabulary.wordpieces())
