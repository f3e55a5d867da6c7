"""Stages of the pipeline: each module is one stage and runs as one process."""

import os

# Set before torch is imported: operations not implemented on Apple GPUs fall back to the CPU.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
# Set before torch is imported: threads of OpenMP sleep while they wait for each other. By default
# they spin, which takes the core from the thread they wait for as soon as another process runs; two
# threads are then slower than one (benchmarks/threads.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
