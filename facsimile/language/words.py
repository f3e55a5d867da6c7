"""The table of prompts and descriptions that belongs to a table of described faces."""

import pyarrow as pa

from facsimile.faces.aus import AUS

ASKED: tuple[str, ...] = tuple(f"prompt_{au}" for au in AUS)

WORDS_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in ASKED),
        pa.field("prompt_jaccard", pa.float32(), nullable=False),
    ]
)
"""What a described face was asked for: prompt, its description, AU intensities, and how far the
labels that it got agree with them."""
