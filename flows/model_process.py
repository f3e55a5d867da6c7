"""Runs a registered model in a process of its own, with the code that was registered with it.

    python -P flows/model_process.py MODEL_URI

Python imports a package only once, so two versions of a model in one process would share the code
of the first, and in a process of Facsimile that of this project. So this script imports neither.

Reads pickled lists of image contents from stdin, writes a pickled table of predictions for each to
stdout. First writes the metadata of the model. Only `flows.registered_model` talks to it.
"""

import os
import pickle
import sys


def main(uri: str) -> None:
    """Answer until stdin ends."""
    # Libraries that print must not write between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(uri)
    answer = model.metadata.metadata or {}
    while True:
        pickle.dump(answer, answers)
        answers.flush()
        try:
            images = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer = model.predict(pd.DataFrame({"image": pd.Series(images, dtype=object)}))


if __name__ == "__main__":
    main(sys.argv[1])
