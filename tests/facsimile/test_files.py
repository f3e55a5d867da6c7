import json

import numpy as np

from facsimile.files import to_json


def test_json_has_no_nan():
    metrics = to_json({"a": np.float32("nan"), "b": {"c": [np.int64(1), float("inf")]}})
    assert json.dumps(metrics, allow_nan=False) == '{"a": null, "b": {"c": [1, null]}}'
