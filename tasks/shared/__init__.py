"""What all stages share: how a stage runs and ends, its device, and the paths of artefacts."""
