"""Text encoders: features of sentences, for the joint generator.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), which uses CLIP's. `ClipEncoder` is that one; `WordEncoder` is a
small one that is trained on descriptions, so that nothing needs to be downloaded.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.describing.options import TextTrainingOptions
from facsimile.describing.schedules import warm_cosine
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.language import Request, describe

CONFIG, WEIGHTS = "config.json", "encoder.safetensors"


@dataclass(frozen=True)
class TextFeatures:
    """Features of N sentences.

    Attributes:
        tokens: one vector for each token (N, L, E) float32; L is that of the longest sentence.
        mask: which of them are tokens rather than padding, bool (N, L).
        pooled: one vector for each sentence (N, E).
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor

    def to(self, device: torch.device | str) -> "TextFeatures":
        """The same on another device."""
        return TextFeatures(*(part.to(device) for part in (self.tokens, self.mask, self.pooled)))


class TextEncoder(Protocol):
    """A text encoder that is trained already.

    Attributes:
        kind: name in the registry.
        dim: E, dimensions of its features.
    """

    kind: ClassVar[str]
    dim: int

    def encode(self, sentences: Sequence[str]) -> TextFeatures:
        """Features of N sentences; each depends only on its own sentence."""
        ...

    def save(self, folder: Path) -> None:
        """Write config.json, with ``kind``, and weights into a folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...


_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*|[^\w\s]")
_UNKNOWN, _PADDING = "<unknown>", "<padding>"
_LONGEST = 128  # words of a sentence; further ones are cut off
_HEADS = 4
_PHRASE = 5  # words


class WordEncoder(nn.Module):
    """A transformer encoder over words.

    Args:
        vocabulary: known words.
        dim, layers: size.
    """

    kind: ClassVar[str] = "words"

    def __init__(self, vocabulary: Sequence[str], dim: int, layers: int) -> None:
        super().__init__()
        self.vocabulary = [_PADDING, _UNKNOWN, *vocabulary]
        self.dim, self.layers = dim, layers
        self.numbers = {word: number for number, word in enumerate(self.vocabulary)}
        self.embedding = nn.Embedding(len(self.vocabulary), dim, padding_idx=0)
        self.positions = nn.Parameter(0.02 * torch.randn(_LONGEST, dim))
        # Which word strengthens which is decided by the words around it.
        self.neighbours = nn.Conv1d(dim, dim, _PHRASE, padding=_PHRASE // 2)
        layer = nn.TransformerEncoderLayer(
            dim, _HEADS, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, numbers: Tensor) -> TextFeatures:
        """Features of word numbers (N, L), 0 = padding."""
        mask = numbers != 0
        embedded = self.embedding(numbers)
        phrases = self.neighbours(embedded.transpose(1, 2)).transpose(1, 2)
        embedded = embedded + F.gelu(phrases) + self.positions[: numbers.shape[1]]
        tokens = self.norm(self.encoder(embedded, src_key_padding_mask=~mask))
        tokens = tokens * mask[..., None]
        pooled = tokens.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return TextFeatures(tokens, mask, pooled)

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Word numbers (N, L); a sentence without words is one unknown word."""
        rows = [
            [self.numbers.get(word, 1) for word in _WORD.findall(sentence.lower())[:_LONGEST]]
            or [1]
            for sentence in sentences
        ]
        longest = max(map(len, rows))
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows])

    # Not in inference mode, because the joint generator learns from the features.
    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> TextFeatures:
        device = self.positions.device
        return self(self.tokenize(sentences).to(device))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "kind": self.kind,
            "dim": self.dim,
            "layers": self.layers,
            "vocabulary": self.vocabulary[2:],
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        state = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
        encoder = cls(config["vocabulary"], config["dim"], config["layers"])
        state = load_file(folder / WEIGHTS)
        encoder.load_state_dict({name: value.float() for name, value in state.items()})
        return encoder.eval().requires_grad_(False)

    @classmethod
    def fit(
        cls, options: TextTrainingOptions, on_step: Callable[[int], None] = lambda count: None
    ) -> Self:
        """Train on descriptions, to tell AU intensities, AUs and people from them."""
        rng = np.random.default_rng(options.seed)
        words = {
            word
            for _ in range(4000)
            for word in _WORD.findall(describe(random_request(rng), rng).lower())
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            encoder = cls(sorted(words), options.dim, options.layers)
            head = nn.Linear(options.dim, 2 * len(AUS) + len(NUISANCES))
        parameters = [*encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(parameters, options.lr, weight_decay=0.01)
        schedule = warm_cosine(optimizer, options.steps)
        for _ in range(options.steps):
            requests = [random_request(rng) for _ in range(options.batch_size)]
            sentences = [describe(request, rng) for request in requests]
            predicted = head(encoder(encoder.tokenize(sentences)).pooled)
            optimizer.zero_grad()
            _text_loss(predicted, requests).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            on_step(1)
        return encoder.eval().requires_grad_(False)


def random_request(rng: np.random.Generator) -> Request:
    """A request with independent AUs and attributes, each attribute told half of the time."""
    active = rng.random(len(AUS)) < rng.choice([0.1, 0.25, 0.5])
    levels = active * rng.uniform(ACTIVE_THRESHOLD, 1, len(AUS))
    people = {name: rng.uniform() for name in NUISANCES if rng.random() < 0.5}
    return Request(
        dict(zip(AUS, levels.tolist(), strict=True)),
        {name: (value, value) for name, value in people.items()},
    )


def _text_loss(predicted: Tensor, requests: Sequence[Request]) -> Tensor:
    """Errors of intensities, occurrences, and attributes that were told."""
    count = len(AUS)
    levels = torch.tensor([[request.aus[au] for au in AUS] for request in requests])
    told = torch.tensor(
        [[request.people.get(name, (np.nan,))[0] for name in NUISANCES] for request in requests]
    )
    known = ~told.isnan()
    age = NUISANCES.index("age")
    told = torch.where(torch.arange(len(NUISANCES)) == age, told, (told >= 0.5).to(told.dtype))
    occurrence = (levels >= ACTIVE_THRESHOLD).float()
    return (
        5 * F.mse_loss(predicted[:, :count], levels.float())
        + F.binary_cross_entropy_with_logits(predicted[:, count : 2 * count], occurrence)
        + F.mse_loss(predicted[:, 2 * count :][known], told[known].float())
    )


class ClipEncoder:
    """The text model of CLIP (Radford et al., 2021), from a local folder.

    Args:
        folder: with a CLIPTextModel and its tokenizer, as `save_pretrained` of transformers writes.

    Raises:
        FacsimileError: transformers is not installed, or the folder holds no such model.
    """

    kind: ClassVar[str] = "clip"

    def __init__(self, folder: Path) -> None:
        try:
            from transformers import AutoTokenizer, CLIPTextModel
        except ImportError as error:
            raise FacsimileError(
                "CLIP needs the package transformers: pip install 'facsimile-faces[clip]'"
            ) from error
        try:
            self.model = CLIPTextModel.from_pretrained(folder, local_files_only=True).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise FacsimileError(f"{folder}: not a CLIP text model ({reason})") from error
        self.model.requires_grad_(False)
        self.dim = self.model.config.hidden_size

    # Not in inference mode, because the joint generator learns from the features.
    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> TextFeatures:
        batch = self.tokenizer(list(sentences), padding=True, truncation=True, return_tensors="pt")
        found = self.model(**batch)
        mask = batch["attention_mask"].bool()
        return TextFeatures(found.last_hidden_state.float(), mask, found.pooler_output.float())

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        config = json.loads((folder / CONFIG).read_text()) | {"kind": self.kind}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(folder)


_ENCODERS: dict[str, type[TextEncoder]] = {
    encoder.kind: encoder for encoder in (WordEncoder, ClipEncoder)
}


def load_text_encoder(folder: Path) -> TextEncoder:
    """Read a saved text encoder of any kind. Raises FacsimileError if it is not one."""
    try:
        kind = json.loads((folder / CONFIG).read_text())["kind"]
        encoder = _ENCODERS[kind]
    except (OSError, ValueError, KeyError) as error:
        raise FacsimileError(f"{folder}: not a text encoder ({error})") from error
    return encoder.load(folder)
