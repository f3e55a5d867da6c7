"""Steps of the pipeline: one module, one stage, one process."""

import os

# Before torch is imported: the few operations that it lacks on Apple GPUs are done by the CPU.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
