"""Tensors out of foreign checkpoint files, without running anything that a file may hold.

Pickles are read by torch's weights-only unpickler. Objects of a few classes that training tools
leave among the metadata (NumPy scalars, settings, paths, states of Lightning's callbacks) become
inert stand-ins; any other class or function is refused by its name. A file that is no checkpoint is
an error that says what it is.
"""

import codecs
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from facsimile.errors import FacsimileError

# What torch.save wrote before version 1.6: the pickle of a magic number, then three more.
_LEGACY = re.compile(rb"\x80.(\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_LEGACY_PICKLES = 4
# The highest protocol whose usual codes torch's weights-only unpickler knows.
_PROTOCOL = 3

_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
_AGAIN = "download it again"
_UNPACK = "unpack it and give the checkpoint that is in it"
_BEGINNINGS = {
    b"version https://git-lfs.github.com": "a Git LFS pointer, not the file itself: `git lfs pull`",
    b"\x1f\x8b": f"a gzip archive: {_UNPACK}",
    b"BZh": f"a bzip2 archive: {_UNPACK}",
    b"\xfd7zXZ": f"an xz archive: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a Zstandard archive: {_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive: {_UNPACK}",
    b"Rar!": f"a RAR archive: {_UNPACK}",
    b"\x89HDF": "an HDF5 file, of Keras for instance",
    b"\x93NUMPY": "a NumPy array",
    b"PAR1": "a Parquet table",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF document",
}

# What tensors are made of, as torch itself allows it; it checks again when it loads.
_TENSORS = re.compile(
    r"""
      torch\.(\w*Storage|(b?float|complex|q?u?int)\d\w*|bool|Size|device|Tensor)
    | torch\.(storage\.\w*Storage|nn\.parameter\.Parameter|serialization\._get_layout)
    | torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2)
    | collections\.(OrderedDict|Counter) | _codecs\.encode | builtins\.(bytearray|set|complex)
    """,
    re.VERBOSE,
)
# Classes whose objects are of no consequence to tensors; never functions that anything else has.
_NUMPY_TYPES = r"(bool|int|uint|float|complex|str|bytes|void|object|datetime|timedelta)[\d_]*"
_HARMLESS = re.compile(
    r"""
      (pytorch_lightning|lightning|lightning_fabric|lightning_utilities|torchmetrics|omegaconf
       |torch\.optim)(\.\w+)*\.[A-Z]\w*
    | numpy\.(_?core)\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)
    | numpy\.(ndarray|dtype|dtypes\.\w+|"""
    + _NUMPY_TYPES
    + r""")
    | numpy\.random\.\w+\.(\w+_ctor|__pyx_unpickle_\w+|[A-Z]\w*)
    | collections\.(defaultdict|deque|ChainMap|UserDict|UserList|UserString)
    | argparse\.Namespace | types\.SimpleNamespace | typing\.(Any|Union|Optional)
    | pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path
    | datetime\.(date|time|datetime|timedelta|timezone) | decimal\.Decimal | fractions\.Fraction
    | uuid\.(UUID|SafeUUID) | copyreg\._reconstructor
    | builtins\.(bool|int|float|str|bytes|list|dict|tuple|frozenset|object|range|slice)
    | torch\.(Generator|torch_version\.TorchVersion)
    | (easydict|addict|addict\.addict|munch|box\.box|yacs\.config|diffusers\.configuration_utils
       |ml_collections\.config_dict\.config_dict)\.[A-Z]\w*
    """,
    re.VERBOSE,
)
_MAPPINGS = re.compile(r".*(dict|Dict|Munch|CfgNode|\.Box)")
_LISTS = re.compile(r".*(\.deque|\.list)")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name, on the CPU.

    Args:
        path: what ``torch.save`` wrote, in its present format or in that before version 1.6, or
            ``.safetensors``; recognised by content.

    Returns:
        Names of nested dictionaries joined by dots: ``state_dict.model.out.0.bias``. Lists, as
        optimizers have them, are left out.

    Raises:
        FacsimileError: an unreadable file, one that is something else or cut short, or one that
            holds objects that might run code.
    """
    path = Path(path)
    try:
        content = _read(path)
    except OSError as error:
        raise FacsimileError(f"{path}: not readable ({error.strerror or error})") from error
    if not isinstance(content, Mapping):
        raise FacsimileError(
            f"{path}: not a checkpoint: it has no state_dict, but is a {type(content).__name__}"
        )
    return dict(_named(content, "", set()))


def _named(values: Mapping[Any, Any], prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    seen.add(id(values))  # a pickle can hold a dictionary that holds itself
    for key, value in values.items():
        if isinstance(key, str) and isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(key, str) and isinstance(value, Mapping) and id(value) not in seen:
            yield from _named(value, f"{prefix}{key}.", seen)


def _read(path: Path) -> Any:
    if path.is_dir():
        raise FacsimileError(f"{path}: a folder, not a checkpoint{_inside(path)}")
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            return _read_zip(path)
        if _LEGACY.match(start):
            stand_ins = _stand_ins(path, file, _LEGACY_PICKLES)
            file.seek(0)
            return _load(path, file, stand_ins, mmap=False)
        if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
            return _read_safetensors(path)
        raise FacsimileError(f"{path}: {_what(start, file)}")


def _inside(folder: Path) -> str:
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(_SUFFIXES))
    if found:
        return f": give a file in it, such as {folder / found[0]}"
    if (folder / "data.pkl").exists():
        return ": one that was unpacked; give the file as it was downloaded"
    return ""


def _what(start: bytes, file: BinaryIO) -> str:
    """What a file is that begins with `start` and is no checkpoint."""
    if not start:
        return f"an empty file, not a checkpoint: {_AGAIN}"
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning):
            return kind if "pointer" in kind else f"not a checkpoint, but {kind}"
    if start[257:262] == b"ustar":
        # torch before 0.1.10 wrote tar archives; these are hardly told from others.
        return f"not a checkpoint, but a tar archive: {_UNPACK}"
    text = _text(start)
    if re.match(r"<(!doctype|html|head|\?xml|body)", text, re.IGNORECASE):
        return (
            "not a checkpoint, but a web page: the server answered with a notice; download the "
            "file in a browser"
        )
    if text:
        return f"not a checkpoint, but text: {' '.join(text[:60].split())!r}"
    if start[:1] == b"\x80" and start[1] <= 5:
        try:
            held = sorted(_globals(file, 1)[0])
        except ValueError:
            return f"not a checkpoint, or a truncated one: {_AGAIN}"
        told = f", with {', '.join(held[:3])}" if held else ""
        return (
            f"a pickle that torch.save did not write{told}; it might run code, and is not read. "
            "Where you made it: save its state_dict by torch.save"
        )
    return f"not a checkpoint, or a truncated one: {_AGAIN}"


def _text(start: bytes) -> str:
    """The beginning of a text file; empty if it is none."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        return ""
    return text.strip() if all(c.isprintable() or c.isspace() for c in text) else ""


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickled = next((n for n in names if re.fullmatch(r"([^/]+/)?data\.pkl", n)), None)
            if any(re.fullmatch(r"[^/]+/(code/.*|constants\.pkl)", name) for name in names):
                raise FacsimileError(
                    f"{path}: not a checkpoint, but a TorchScript program; export its state_dict "
                    "by torch.save"
                )
            if pickled is None:
                held = next((n for n in names if n.endswith(_SUFFIXES)), None)
                told = f" with {held}" if held else f" of {', '.join(names[:3]) or 'nothing'}"
                raise FacsimileError(
                    f"{path}: not a checkpoint, but a zip archive{told}: {_UNPACK}"
                )
            with archive.open(pickled) as file:
                stand_ins = _stand_ins(path, file, 1)
    except (zipfile.BadZipFile, EOFError) as error:
        raise _cut_short(path, str(error)) from error
    # Memory-mapped: optimizer states are most of the file, and are not wanted.
    return _load(path, path, stand_ins, mmap=True)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _cut_short(path, f"safetensors: {error}") from error


def _load(path: Path, source: Path | BinaryIO, stand_ins: list[tuple[Any, str]], mmap: bool) -> Any:
    """By torch, which knows nothing but what tensors are made of, and `stand_ins`."""
    try:
        with warnings.catch_warnings(), safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # of storages that torch itself calls outdated
            return torch.load(source, "cpu", weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:  # torch raises RuntimeError, ValueError, UnpicklingError, …
        raise _cut_short(path, str(error)) from error


def _cut_short(path: Path, why: str) -> FacsimileError:
    size = path.stat().st_size
    # Torch's own advice, from the second sentence on, is to run what the file holds.
    why = re.split(r"\n|\. ", why)[0][:200]
    return FacsimileError(
        f"{path}: not a checkpoint, or a truncated one of {size:,} bytes ({why}); {_AGAIN}"
    )


def _stand_ins(path: Path, file: BinaryIO, pickles: int) -> list[tuple[Any, str]]:
    """What to take for harmless classes that pickles name, each with its name.

    Raises:
        FacsimileError: there are others, no whole pickles, or some of a protocol that torch does
            not read.
    """
    try:
        found, protocol = _globals(file, pickles)
    except ValueError as error:
        raise _cut_short(path, str(error)) from error
    foreign = sorted(name for name in found if not _TENSORS.fullmatch(name))
    unknown = [name for name in foreign if not _HARMLESS.fullmatch(name)]
    if any(name.startswith("torch.nn.modules.") for name in unknown):
        own = [name for name in unknown if not name.startswith("torch.")]
        raise FacsimileError(
            f"{path}: refused, because unpickling it would run code: it is a whole model, "
            f"{(own or unknown)[0]}; where you made it, save model.state_dict() by torch.save"
        )
    if unknown:
        raise FacsimileError(
            f"{path}: refused, because unpickling it would run code: {', '.join(unknown[:3])}; "
            "where you made it, save its state_dict alone by torch.save"
        )
    if protocol > _PROTOCOL:
        raise FacsimileError(
            f"{path}: written by pickle protocol {protocol}, which torch does not read without "
            "running what it holds; where you made it, save it again by plain torch.save"
        )
    return [(_stand_in(name), name) for name in foreign]


def _stand_in(name: str) -> type:
    """A class whose objects take whatever state a pickle gives them, and do nothing.

    The unpickler adds items to dictionaries and lists of the usual types only.
    """
    make = OrderedDict if _MAPPINGS.fullmatch(name) else list if _LISTS.fullmatch(name) else None

    def new(cls: type, *_: Any, **__: Any) -> Any:
        return make() if make else object.__new__(cls)

    return type("Inert", (), {"__new__": new, "__init__": _nothing, "__setstate__": _nothing})


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _globals(file: BinaryIO, pickles: int) -> tuple[set[str], int]:
    """Classes and functions that pickles, one after another, would look up, as ``module.name``;
    and the highest protocol of these pickles.

    Raises:
        ValueError: no pickles.
    """
    found: set[str] = set()
    protocol = 0
    for _ in range(pickles):
        strings: list[str | None] = [None, None]  # the last two that were pushed
        memo: dict[int, str | None] = {}
        for code, argument, _position in pickletools.genops(file):
            if code.name in ("GLOBAL", "INST"):
                found.add(_modern(*argument.split(" ", 1)))
            elif code.name == "STACK_GLOBAL":
                found.add(_modern(*(text or "?" for text in strings[-2:])))
            elif code.name == "MEMOIZE":
                memo[len(memo)] = strings[-1]
            elif code.name in ("BINPUT", "LONG_BINPUT", "PUT"):
                memo[argument] = strings[-1]
            elif code.name in ("BINGET", "LONG_BINGET", "GET"):
                strings.append(memo.get(argument))
            elif code.name == "PROTO":
                protocol = max(protocol, argument)
            elif code.name != "FRAME":
                strings.append(argument if isinstance(argument, str) else None)
            del strings[:-2]
    return found, protocol


def _modern(module: str, name: str) -> str:
    """The name that Python 3 gives to what Python 2, and its pickle protocols, called otherwise."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
