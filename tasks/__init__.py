"""Stages of the pipeline: each module is one stage and runs as one process."""

import os

# Set before torch is imported: operations not implemented on Apple GPUs fall back to the CPU.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
