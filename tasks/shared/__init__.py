"""What the stages share: how one runs, its params, and where the artefacts lie."""
