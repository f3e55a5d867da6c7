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
            "z": list(np.float32([[9, 9], [7, 7], [9, 9], [8, 8]])),
        }
    )
    z = requested_codes(candidates, sources)
    np.testing.assert_array_equal(z, [[3, 3], [7, 7], [2, 2], [8, 8]])
    assert z.dtype == np.float32


def test_without_transferred_faces_sources_are_all():
    sources = pd.Series(list(np.eye(2)), index=["a", "b"])
    own = list(np.float32([[9, 9], [9, 9]]))
    candidates = pd.DataFrame({"source_id": ["b", "a"], "origin": "edited", "z": own})
    z = requested_codes(candidates, sources)
    np.testing.assert_array_equal(z, [[0, 1], [1, 0]])
    with pytest.raises(KeyError):
        requested_codes(candidates, sources.drop("a"))
