"""Slides 4, 5 and 12: what the Hub holds, how it is searched, and what an organization groups."""

import inspect
from urllib.parse import parse_qs

import pytest
from huggingface_hub import HfApi, list_datasets, list_models
from huggingface_hub.hf_api import list_spaces  # not at the package's top on the oldest releases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.hub import app

LISTINGS = [list_models, list_datasets, list_spaces]
NAMES = ("tiny/bert-base", "tiny/gpt", "tiny-two/bert", "other/BERT-large")


@pytest.fixture
def filled(hub):
    """The Hub with a model, a dataset and a Space of each of `NAMES`; the last has the fewest likes."""
    for create in (hub.model, hub.dataset, hub.space):
        for likes, name in enumerate(reversed(NAMES)):
            create(name, {"README.md": "# One\n"}, likes=likes)
    return hub


def ids(found):
    return {repo.id for repo in found}


def searching_calls(kind):
    """The client's calls whose name has this kind of thing in it and that take a text to search for."""
    return [
        name
        for name, call in inspect.getmembers(HfApi, callable)
        if kind in name and {"search", "query"} & set(inspect.signature(call).parameters)
    ]


# What can be searched


@pytest.mark.claim("hub.kinds")
def test_each_kind_can_be_searched(evidence):
    """Models, datasets, Spaces and organizations can each be searched."""
    # Slide 5 lists the four under what one can search.
    calls = {kind: searching_calls(kind) for kind in ("model", "dataset", "space", "organization")}
    evidence["calls"] = calls

    assert all(calls.values())


@pytest.mark.correction("hub.kinds")
def test_an_organization_is_found_by_what_it_owns(filled):
    """Who searches the repositories for an organization's name finds its name before the slash."""
    found = ids(list_models(search="tiny"))

    assert {name.partition("/")[0] for name in found} == {"tiny", "tiny-two"}


@pytest.mark.correction("hub.kinds")
@pytest.mark.needs("huggingface_hub>=0.36")
def test_an_organization_is_looked_up_by_its_name(hub):
    """The client looks an organization up by its exact name."""
    hub.model("google-bert/bert-base-uncased", {"README.md": "# One\n"})

    assert HfApi().get_organization_overview("google-bert").name == "google-bert"
    with pytest.raises(OSError, match="404"):
        HfApi().get_organization_overview("google")


@pytest.mark.correction("hub.kinds")
def test_what_an_organization_owns_is_listed(filled):
    """A listing by author has what the organization owns, and nothing else."""
    filled.model("google-bert/bert-base-uncased", {"README.md": "# One\n"})

    assert ids(list_models(author="google-bert")) == {"google-bert/bert-base-uncased"}


@pytest.mark.claim("hub.kinds.text")
@pytest.mark.parametrize("listing", LISTINGS)
def test_a_text_finds_the_names_that_contain_it(filled, listing):
    """A search finds the repositories with the text in their id, and no others."""
    assert ids(listing(search="bert")) == {"tiny/bert-base", "tiny-two/bert", "other/BERT-large"}


@pytest.mark.claim("hub.kinds.text")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("aZ09éß大🙂 \t\n&=+%?#/\\\"'.:,;~"), min_size=1))
def test_a_text_is_sent_as_it_was_typed(hub, text):
    """Any text reaches the Hub as it was typed, with its spaces, signs and letters of every script."""
    list(list_models(search=text))

    assert parse_qs(hub.log[-1].query, keep_blank_values=True)["search"] == [text]


@pytest.mark.claim("hub.kinds.author")
@pytest.mark.parametrize("listing", LISTINGS)
def test_an_author_has_only_their_own(filled, listing):
    """A listing by author has that author's repositories, and not those of one whose name begins alike."""
    assert ids(listing(author="tiny")) == {"tiny/bert-base", "tiny/gpt"}
    assert ids(listing(author="tiny", search="bert")) == {"tiny/bert-base"}


@pytest.mark.claim("hub.kinds.limit")
@pytest.mark.parametrize("listing", LISTINGS)
def test_a_limit_ends_the_listing(filled, listing):
    """With a limit the client gives that many and asks once."""
    assert len(list(listing(limit=3))) == 3
    assert [request.path for request in filled.log].count(f"/api/{listing.__name__[len('list_') :]}") == 1


@pytest.mark.claim("hub.kinds.all")
@pytest.mark.parametrize("listing", LISTINGS)
def test_without_a_limit_all_are_listed(filled, listing, evidence, monkeypatch):
    """Without a limit the client follows the pages of a listing to the last."""
    monkeypatch.setattr(app, "PAGE", 3)

    found = [repo.id for repo in listing()]

    evidence["requests"] = [str(request) for request in filled.log]
    assert sorted(found) == sorted(NAMES)


@pytest.mark.correction("hub.kinds.all")
@pytest.mark.parametrize("listing", LISTINGS)
def test_the_first_page_is_all_that_is_listed(filled, listing, monkeypatch):
    """Without a limit the client asks once and gives the first page for the whole."""
    monkeypatch.setattr(app, "PAGE", 3)

    found = [repo.id for repo in listing()]

    assert len(found) == 3 < len(NAMES)
    assert set(found) < set(NAMES)
    assert len(filled.log) == 1


@pytest.mark.claim("hub.kinds.order")
@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_is_sorted_as_asked(filled, listing):
    """A listing comes by likes or by the last change, most and newest first."""
    filled.repo(listing.__name__[len("list_") : -1], "tiny/gpt").commit({"new.txt": ""})

    assert [repo.id for repo in listing(sort="likes")] == list(NAMES)
    assert next(iter(listing(sort="lastModified"))).id == "tiny/gpt"


@pytest.mark.claim("hub.kinds.task")
def test_models_are_found_by_their_task(hub):
    """A filter finds the models of one task."""
    hub.model("tiny/bert", {"README.md": "---\npipeline_tag: fill-mask\n---\n"})
    hub.model("tiny/gpt", {"README.md": "---\npipeline_tag: text-generation\n---\n"})

    assert ids(list_models(filter="fill-mask")) == {"tiny/bert"}


# Organizations


@pytest.mark.claim("hub.organizations")
def test_an_organization_groups_models_and_datasets(hub):
    """Models and datasets of an organization are listed by its name, those of others are not."""
    hub.model("tiny/bert", {"config.json": "{}"})
    hub.model("tiny/gpt", {"config.json": "{}"})
    hub.dataset("tiny/lines", {"train.txt": "one\n"})
    hub.model("student/bert", {"config.json": "{}"})
    hub.dataset("student/lines", {"train.txt": "one\n"})

    assert ids(list_models(author="tiny")) == {"tiny/bert", "tiny/gpt"}
    assert ids(list_datasets(author="tiny")) == {"tiny/lines"}


@pytest.mark.claim("hub.organizations.private")
@pytest.mark.parametrize("listing", LISTINGS)
def test_members_see_what_is_private(filled, listing, monkeypatch):
    """Only members who are logged in are listed the organization's private repositories."""
    filled.repo(listing.__name__[len("list_") : -1], "tiny/gpt").private = True
    assert ids(listing(author="tiny")) == {"tiny/bert-base"}

    for user, orgs, seen in (("member", ["tiny"], {"tiny/bert-base", "tiny/gpt"}), ("else", [], {"tiny/bert-base"})):
        # Every release reads a token from this variable.
        monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", filled.token(f"hf_{user}", user=user, orgs=orgs))
        assert ids(listing(author="tiny")) == seen


@pytest.mark.claim("hub.organizations.information")
@pytest.mark.needs("huggingface_hub>=0.36")
def test_an_organization_tells_about_itself(filled):
    """The overview of an organization counts its models, datasets, Spaces and members."""
    filled.token("hf_student", user="student", orgs=("tiny",))
    filled.model("tiny/third", {"config.json": "{}"})
    filled.model("tiny/fourth", {"config.json": "{}"})
    filled.dataset("tiny/third", {"train.txt": "one\n"})

    overview = HfApi().get_organization_overview("tiny")

    assert overview.name == "tiny"
    assert (overview.num_models, overview.num_datasets, overview.num_spaces, overview.num_users) == (4, 3, 2, 1)


@pytest.mark.claim("hub.organizations.members")
@pytest.mark.needs("huggingface_hub>=0.23")
def test_the_members_are_listed(hub):
    """The members of an organization are listed, and nobody else."""
    hub.token("hf_one", user="one", orgs=("tiny",))
    hub.token("hf_two", user="two", orgs=("other", "tiny"))
    hub.token("hf_three", user="three", orgs=("other",))

    assert [user.username for user in HfApi().list_organization_members("tiny")] == ["one", "two"]
