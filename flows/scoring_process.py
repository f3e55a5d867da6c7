"""MLflow's own scoring server for one model, on the loopback interface.

    python -P flows/scoring_process.py MODEL_URI PORT

Imports nothing of this project, so that the model runs the code that was registered with it.
"""

import sys


def main(uri: str, port: int) -> None:
    """Serve until a signal ends the process."""
    import mlflow
    import uvicorn
    from mlflow.pyfunc import scoring_server

    app = scoring_server.init(mlflow.pyfunc.load_model(uri))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
