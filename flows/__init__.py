"""Conduct the stages of dvc.yaml: Prefect runs them, DVC decides what is stale, MLflow remembers.

Imported before Prefect and MLflow, which read their settings from the environment at import.
Whatever the user has set stays.
"""

import os

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # The temporary server is given 20 s by default, which a busy machine can exceed.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)
