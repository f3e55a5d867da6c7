"""Adjustment sets against graphs worked out by hand."""

import warnings
from pathlib import Path

import pytest

from facsimile.editing import CausalGraph, CausalWarning
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS

DEFAULT = Path(__file__).parents[3] / "data" / "config" / "au_graph.yaml"


@pytest.mark.parametrize(
    ("config", "au", "expected"),
    [
        # chain AU01 → AU02 → AU04: ancestors yes, descendants no
        ({"direct": {"AU01": ["AU02"], "AU02": ["AU04"]}}, "AU04", ("AU01", "AU02")),
        ({"direct": {"AU01": ["AU02"], "AU02": ["AU04"]}}, "AU02", ("AU01",)),
        ({"direct": {"AU01": ["AU02"], "AU02": ["AU04"]}}, "AU01", ()),
        # fork AU06 ← smile → AU12
        ({"expressions": {"smile": ["AU06", "AU12"]}}, "AU06", ("AU12",)),
        ({"expressions": {"smile": ["AU06", "AU12"]}}, "AU01", ()),
        # collider AU01 → looks_surprised ← AU05: the two AUs stay apart
        ({"effects": {"looks_surprised": ["AU01", "AU05"]}}, "AU01", ()),
        # an AU that is the common effect of two others is no reason to tie them
        ({"direct": {"AU01": ["AU04"], "AU02": ["AU04"]}}, "AU01", ()),
        ({"direct": {"AU01": ["AU04"], "AU02": ["AU04"]}}, "AU04", ("AU01", "AU02")),
        # M: AU01 ← s → AU04 ← t → AU09. Blocking s at AU04 opens AU04 to t, closed again at AU09
        ({"expressions": {"s": ["AU01", "AU04"], "t": ["AU04", "AU09"]}}, "AU01", ("AU04", "AU09")),
        # a confounded descendant is still a descendant
        ({"expressions": {"s": ["AU25", "AU26"]}, "direct": {"AU26": ["AU25"]}}, "AU26", ()),
        ({"expressions": {"s": ["AU25", "AU26"]}, "direct": {"AU26": ["AU25"]}}, "AU25", ("AU26",)),
        # a nuisance as common cause
        ({"nuisances": {"age": ["AU04", "AU15"]}}, "AU15", ("AU04",)),
    ],
)
def test_adjustment_set_of_hand_worked_graphs(config, au, expected):
    assert CausalGraph.from_config(config).adjustment_set(au) == expected


def test_descendant_of_a_collider_is_never_conditioned_on():
    graph = CausalGraph.from_config(
        {
            "expressions": {"s": ["AU01", "AU02"]},
            "effects": {"looks_scared": ["AU02", "AU05"]},
            "nuisances": {"looks_scared": []},
        }
        | {"nuisances": {}}
    )
    graph.dag.add_edge("looks_scared", "AU20")
    assert graph.adjustment_set("AU01") == ("AU02",)


def test_only_annotated_aus_are_conditioned_on():
    graph = CausalGraph.from_config({"expressions": {"s": ["AU01", "AU02", "AU04"]}})
    assert graph.adjustment_set("AU01", ["AU01", "AU04", "AU12"]) == ("AU04",)


def test_default_graph_separates_every_au_from_what_it_leaves_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = CausalGraph.from_yaml(DEFAULT)
    assert "AU26" in graph.adjustment_set("AU25")
    assert "AU25" not in graph.adjustment_set("AU26")
    assert "AU12" in graph.adjustment_set("AU06")


def test_override_replaces_the_computed_set():
    graph = CausalGraph.from_config(
        {"expressions": {"s": ["AU01", "AU02", "AU04"]}, "overrides": {"AU01": ["AU04"]}}
    )
    assert graph.adjustment_set("AU01") == ("AU04",)
    assert graph.adjustment_set("AU02") == ("AU01", "AU04")
    with pytest.raises(FacsimileError, match="AU04, which is not annotated"):
        graph.adjustment_set("AU01", [au for au in AUS if au != "AU04"])


def test_override_with_a_descendant_warns_and_says_why():
    with pytest.warns(CausalWarning, match=r"descendant AU25 \(AU26 → AU25\)"):
        CausalGraph.from_config({"direct": {"AU26": ["AU25"]}, "overrides": {"AU26": ["AU25"]}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"direct": {"AU01": ["AU02"], "AU02": ["AU01"]}}, "cycle AU01 → AU02 → AU01"),
        ({"direct": {"AU01": ["AU99"]}}, "unknown node 'AU99' under direct"),
        ({"expression": {}}, "unknown section 'expression'"),
        ({"expressions": {"AU01": ["AU02"]}}, "'AU01' is declared twice"),
        ({"overrides": {"AU01": ["AU99"]}}, "unknown node 'AU99'"),
        ({"overrides": {"AU01": ["AU01"]}}, "itself"),
        ({"overrides": {"AU99": []}}, "unknown AU 'AU99'"),
        (
            {"expressions": {"smile": ["AU12"]}, "overrides": {"AU12": ["smile"]}},
            r"smile \(expression\)",
        ),
        (
            {"effects": {"surprised": ["AU01", "AU05"]}, "overrides": {"AU01": ["surprised"]}},
            r"collider surprised, which would tie its causes \(AU01, AU05\)",
        ),
    ],
)
def test_bad_declarations_are_named(config, message):
    with pytest.raises(FacsimileError, match=message):
        CausalGraph.from_config(config)


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(FacsimileError, match=r"absent\.yaml"):
        CausalGraph.from_yaml(tmp_path / "absent.yaml")


def test_entailed_aus_are_descendants():
    config = {
        "expressions": {"s": ["AU01", "AU02"]},
        "direct": {"AU26": ["AU25"], "AU25": ["AU20"]},
    }
    graph = CausalGraph.from_config(config)
    assert graph.entailed("AU26") == ("AU20", "AU25")
    assert graph.entailed("AU20") == () == graph.entailed("AU01")


def test_a_path_that_conditioning_opens_to_an_effect_is_named() -> None:
    # AU04 ← a → AU12 ← b → AU25 is closed at AU12, and AU04 → AU25 is its own effect.
    m_bias = {"expressions": {"a": ["AU04", "AU12"], "b": ["AU12", "AU25"]}}
    arrow = {"direct": {"AU04": ["AU25"]}}
    with pytest.warns(CausalWarning, match="conditioning AU04 on AU12 opens a path to AU25"):
        CausalGraph.from_config(m_bias | arrow).adjustment_set("AU04")


@pytest.mark.parametrize("au", AUS)
def test_the_graph_of_the_project_opens_no_such_path(au: str) -> None:
    graph = CausalGraph.from_yaml(DEFAULT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph.adjustment_set(au)
