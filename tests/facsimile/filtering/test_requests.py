import numpy as np
import pandas as pd
import pytest

from facsimile.filtering import requested_codes


def test_transferred_faces_are_compared_with_their_own_request():
    sources = pd.Series(list(np.float64([[1, 1], [2, 2], [3, 3]])), index=["a", "b", "c"])
    candidates = pd.DataFrame(
        {
            "source_id": ["c", "a", "b", "a"],
            "origin": ["edited", "transferred", "synthetic", "transferred"],
        }
    )
    z = requested_codes(candidates, sources, np.float32([[7, 7], [8, 8]]))
    np.testing.assert_array_equal(z, [[3, 3], [7, 7], [2, 2], [8, 8]])
    assert z.dtype == np.float32


def test_without_transferred_faces_sources_are_all():
    sources = pd.Series(list(np.eye(2)), index=["a", "b"])
    candidates = pd.DataFrame({"source_id": ["b", "a"], "origin": "edited"})
    z = requested_codes(candidates, sources, np.empty((0, 2)))
    np.testing.assert_array_equal(z, [[0, 1], [1, 0]])
    with pytest.raises(KeyError):
        requested_codes(candidates, sources.drop("a"), np.empty((0, 2)))
