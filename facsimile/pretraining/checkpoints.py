"""Read tensors from third-party checkpoint files without running any code in them.

Pickles are read by torch's weights-only unpickler. Objects of a few classes that training tools
store as metadata (NumPy scalars, settings, paths, states of Lightning's callbacks) become inert
stand-ins; any other class or function is refused by name. For a file that is not a checkpoint, the
error says what it is.
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

# Format of torch.save before version 1.6: the pickle of a magic number, then three more pickles.
_LEGACY = re.compile(rb"\x80.(\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_LEGACY_PICKLES = 4
# Highest pickle protocol whose usual opcodes torch's weights-only unpickler supports.
_PROTOCOL = 3

_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
_DOWNLOAD = "download it again"
_UNPACK = "unpack it and use the checkpoint inside"
_SIGNATURES = {
    b"version https://git-lfs.github.com": "a Git LFS pointer, not the file itself: `git lfs pull`",
    b"\x1f\x8b": f"a gzip archive: {_UNPACK}",
    b"BZh": f"a bzip2 archive: {_UNPACK}",
    b"\xfd7zXZ": f"an xz archive: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a Zstandard archive: {_UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive: {_UNPACK}",
    b"Rar!": f"a RAR archive: {_UNPACK}",
    b"\x89HDF": "an HDF5 file, for example from Keras",
    b"\x93NUMPY": "a NumPy array",
    b"PAR1": "a Parquet table",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF document",
}

# Classes and functions that tensors are pickled with and that torch allows (it checks again).
_TENSOR_GLOBALS = re.compile(
    r"""
      torch\.(\w*Storage|(b?float|complex|q?u?int)\d\w*|bool|Size|device|Tensor)
    | torch\.(storage\.\w*Storage|nn\.parameter\.Parameter|serialization\._get_layout)
    | torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2)
    | collections\.(OrderedDict|Counter) | _codecs\.encode | builtins\.(bytearray|set|complex)
    """,
    re.VERBOSE,
)
# Classes of metadata that stand-ins can replace. No functions except those that rebuild objects.
_NUMPY_TYPES = r"(bool|int|uint|float|complex|str|bytes|void|object|datetime|timedelta)[\d_]*"
_METADATA_GLOBALS = re.compile(
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
        path: a file written by ``torch.save``, in the current format or the one before version
            1.6, or a safetensors file; recognised by content.

    Returns:
        Tensors by name; names of nested dictionaries are joined by dots, as in
        ``state_dict.model.out.0.bias``. Lists, such as those of optimizers, are skipped.

    Raises:
        FacsimileError: the file is unreadable, not a checkpoint or truncated, or it holds objects
            that could run code.
    """
    path = Path(path)
    try:
        content = _read(path)
    except OSError as error:
        raise FacsimileError(f"{path}: not readable ({error.strerror or error})") from error
    if not isinstance(content, Mapping):
        raise FacsimileError(
            f"{path}: not a checkpoint, but a {type(content).__name__}: it has no state_dict"
        )
    return dict(_flatten(content, "", set()))


def _flatten(
    values: Mapping[Any, Any], prefix: str, seen: set[int]
) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of nested dictionaries."""
    seen.add(id(values))  # a pickled dictionary can contain itself
    for key, value in values.items():
        if isinstance(key, str) and isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(key, str) and isinstance(value, Mapping) and id(value) not in seen:
            yield from _flatten(value, f"{prefix}{key}.", seen)


def _read(path: Path) -> Any:
    if path.is_dir():
        raise FacsimileError(f"{path}: a folder, not a checkpoint{_folder_hint(path)}")
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
        raise FacsimileError(f"{path}: {_describe(start, file)}")


def _folder_hint(folder: Path) -> str:
    """What to use instead of a folder, as the end of a message; may be empty."""
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(_SUFFIXES))
    if found:
        return f": use a file in it, such as {folder / found[0]}"
    if (folder / "data.pkl").exists():
        return ": use the file as it was downloaded, not unpacked"
    return ""


def _describe(start: bytes, file: BinaryIO) -> str:
    """Describe a file that is not a checkpoint, given its first bytes."""
    if not start:
        return f"an empty file, not a checkpoint: {_DOWNLOAD}"
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind if "pointer" in kind else f"not a checkpoint, but {kind}"
    if start[257:262] == b"ustar":
        # torch before 0.1.10 wrote tar archives, but these look like any other archive.
        return f"not a checkpoint, but a tar archive: {_UNPACK}"
    text = _text(start)
    if re.match(r"<(!doctype|html|head|\?xml|body)", text, re.IGNORECASE):
        return (
            "not a checkpoint, but a web page: the server sent a notice instead of the file; "
            "download it in a browser"
        )
    if text:
        return f"not a checkpoint, but text: {' '.join(text[:60].split())!r}"
    if start[:1] == b"\x80" and start[1] <= 5:
        try:
            found = sorted(_globals(file, 1)[0])
        except ValueError:
            return f"not a checkpoint, or a truncated one: {_DOWNLOAD}"
        names = f", with {', '.join(found[:3])}" if found else ""
        return (
            f"a pickle that torch.save did not write{names}; it is not read, because it could run "
            "code. Where it was created, save the state_dict with torch.save"
        )
    return f"not a checkpoint, or a truncated one: {_DOWNLOAD}"


def _text(start: bytes) -> str:
    """The beginning of a text file; empty if the file is not text."""
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
                    "with torch.save"
                )
            if pickled is None:
                checkpoint = next((n for n in names if n.endswith(_SUFFIXES)), None)
                files = checkpoint or ", ".join(names[:3]) or "no files"
                raise FacsimileError(
                    f"{path}: not a checkpoint, but a zip archive with {files}: {_UNPACK}"
                )
            with archive.open(pickled) as file:
                stand_ins = _stand_ins(path, file, 1)
    except (zipfile.BadZipFile, EOFError) as error:
        raise _truncated(path, str(error)) from error
    # Memory-mapped, because most of the file are optimizer states, which are not needed.
    return _load(path, path, stand_ins, mmap=True)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _truncated(path, f"safetensors: {error}") from error


def _load(path: Path, source: Path | BinaryIO, stand_ins: list[tuple[Any, str]], mmap: bool) -> Any:
    """Load with torch, which allows only the classes of tensors and `stand_ins`."""
    try:
        with warnings.catch_warnings(), safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # deprecated storage classes
            return torch.load(source, "cpu", weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:  # torch raises RuntimeError, ValueError, UnpicklingError, …
        raise _truncated(path, str(error)) from error


def _truncated(path: Path, reason: str) -> FacsimileError:
    size = path.stat().st_size
    # From the second sentence on, torch advises to run the code in the file.
    reason = re.split(r"\n|\. ", reason)[0][:200]
    return FacsimileError(
        f"{path}: not a checkpoint, or a truncated one of {size:,} bytes ({reason}); {_DOWNLOAD}"
    )


def _stand_ins(path: Path, file: BinaryIO, pickles: int) -> list[tuple[Any, str]]:
    """Stand-ins for the metadata classes that pickles refer to, each with the class name.

    Raises:
        FacsimileError: the pickles refer to other classes or functions, are truncated, or use a
            protocol that torch cannot read.
    """
    try:
        found, protocol = _globals(file, pickles)
    except ValueError as error:
        raise _truncated(path, str(error)) from error
    others = sorted(name for name in found if not _TENSOR_GLOBALS.fullmatch(name))
    refused = [name for name in others if not _METADATA_GLOBALS.fullmatch(name)]
    if any(name.startswith("torch.nn.modules.") for name in refused):
        custom = [name for name in refused if not name.startswith("torch.")]
        raise FacsimileError(
            f"{path}: refused, because unpickling it would run code: it is a whole model, "
            f"{(custom or refused)[0]}; where it was created, save model.state_dict() with "
            "torch.save"
        )
    if refused:
        raise FacsimileError(
            f"{path}: refused, because unpickling it would run code: {', '.join(refused[:3])}; "
            "where it was created, save only its state_dict with torch.save"
        )
    if protocol > _PROTOCOL:
        raise FacsimileError(
            f"{path}: written with pickle protocol {protocol}, which torch cannot read without "
            "running code; where it was created, save it again with plain torch.save"
        )
    return [(_stand_in(name), name) for name in others]


def _stand_in(name: str) -> type:
    """A class whose objects accept any pickled state and ignore it.

    Mappings and lists become standard types, because the unpickler adds items only to these.
    """
    make = OrderedDict if _MAPPINGS.fullmatch(name) else list if _LISTS.fullmatch(name) else None

    def new(cls: type, *_: Any, **__: Any) -> Any:
        return make() if make else object.__new__(cls)

    return type("Inert", (), {"__new__": new, "__init__": _nothing, "__setstate__": _nothing})


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _globals(file: BinaryIO, pickles: int) -> tuple[set[str], int]:
    """Classes and functions that consecutive pickles refer to, and the highest pickle protocol.

    Returns:
        Names as ``module.name``, and the protocol.

    Raises:
        ValueError: the pickles are invalid or truncated.
    """
    found: set[str] = set()
    protocol = 0
    for _ in range(pickles):
        strings: list[str | None] = [None, None]  # the last two pushed
        memo: dict[int, str | None] = {}
        for code, argument, _position in pickletools.genops(file):
            if code.name in ("GLOBAL", "INST"):
                found.add(_python3_name(*argument.split(" ", 1)))
            elif code.name == "STACK_GLOBAL":
                found.add(_python3_name(*(text or "?" for text in strings[-2:])))
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


def _python3_name(module: str, name: str) -> str:
    """``module.name`` in Python 3 of a global that pickle protocols up to 2 name as in Python 2."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
