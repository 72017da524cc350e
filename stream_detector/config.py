"""The file of `--config`: which streams to watch, each with options of its own, as TOML."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stream_detector.errors import SourceError, UsageError
from stream_detector.settings import (
    Settings,
    StreamOptions,
    StreamSettings,
    key_of,
    least_half_life_s,
)
from stream_detector.sources.address import parse_address, redact

_LARGEST_BYTES = 1 << 20
"""A hundred times what ten thousand cameras need: somebody named the wrong file."""
_M = TypeVar("_M", bound=BaseModel)
_NOT_IN_FILES = ("sources", "configured", "stay")


def _keys(model: type[BaseModel]) -> dict[str, str]:
    """Key in the file -> field of `model`."""
    return {key_of(field): field for field in model.model_fields if field not in _NOT_IN_FILES}


_STREAM_KEYS = _keys(StreamSettings)
_RUN_KEYS = _keys(Settings)


def read_config(path: Path, typed: Mapping[str, object]) -> Settings:
    """The settings that a file and a command line make together.

        score_hz = 2                        # for every stream; also half_life, max_faces, backend, …

        [[stream]]
        name = "door"
        url = "rtsp://user:password@camera/door"
        crop = "640x360+0+0"                # look at this part only
        score_hz = 5                        # for this stream

    A stream's own key counts first, then what was typed, then what the file says for every stream.

    Args:
        typed: fields of `Settings` that the user gave on the command line, `sources` among them.

    Raises:
        UsageError: the file cannot be read, or something in it makes no sense; the sentence names the
            file, the stream, the key, what was found, and what was expected. It holds no password.
    """
    content = _read(path)
    streams = content.pop("stream", [])
    if not isinstance(streams, list) or not all(isinstance(stream, dict) for stream in streams):
        raise UsageError(
            f"cannot use {path.name}: stream is {_found(streams)}, expected a table per stream; write "
            f"[[stream]] with two brackets"
        )
    _check_keys(path, "", content, _RUN_KEYS, aside=f"[[stream]] tables with {_listed(_STREAM_KEYS)}")
    for_all = {_RUN_KEYS[key]: value for key, value in content.items()}
    run = _validated(path, "", Settings, for_all | dict(typed))
    given = {name: getattr(run, name) for name in StreamOptions.model_fields}
    configured = tuple(_stream(path, number, table, given) for number, table in enumerate(streams, start=1))
    _check_names(path, configured)
    settings = run.with_streams(configured)
    for stream in settings.streams:
        if (least_s := least_half_life_s(stream)) is not None:
            where = f"of stream {stream.name!r} " if stream.name else ""
            raise UsageError(
                f"cannot use {path.name}: half_life {where}is {stream.half_life_s:g} with score_hz "
                f"{stream.score_hz:g}, so each score is forgotten before the next one comes; expected a "
                f"half_life of at least {least_s:g} seconds"
            )
    if not settings.streams and not settings.stay:
        raise UsageError(
            f"cannot use {path.name}: it names no stream; expected at least one [[stream]] with name and url"
        )
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; expected a TOML file of streams") from error
    if len(raw) > _LARGEST_BYTES:
        raise UsageError(f"cannot use {path.name}: it is larger than 1 MiB; expected a TOML file of streams")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise UsageError(f"cannot use {path.name}: it is not UTF-8 text; expected TOML") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = redact(str(error)) or "nested too deeply"
        raise UsageError(f"cannot use {path.name}: it is not TOML: {said[:1].lower()}{said[1:]}") from None


def _stream(path: Path, number: int, table: Mapping[str, Any], given: Mapping[str, object]) -> StreamSettings:
    name = table.get("name")
    which = f"stream {number}" + (f" ({redact(name)!r})" if isinstance(name, str) and name else "")
    _check_keys(path, f" in {which}", table, _STREAM_KEYS)
    for key in ("name", "url"):
        if key not in table:
            raise UsageError(f'cannot use {path.name}: {which} has no {key}; expected {key} = "…"')
    own = {_STREAM_KEYS[key]: value for key, value in table.items()}
    stream = _validated(path, f" in {which}", StreamSettings, {**given, **own})
    try:
        parse_address(stream.url)
    except SourceError as error:
        raise UsageError(f"cannot use {path.name}: the url of {which} makes no sense: {error}") from None
    return stream


def _validated(path: Path, where: str, model: type[_M], values: Mapping[str, object]) -> _M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = str(first["loc"][0])
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    found = "not text" if field == "url" else _found(first["input"])
    raise UsageError(
        f"cannot use {path.name}: {key_of(field)}{where} is {found}, expected "
        f"{expected.removeprefix('expected ')}"
    )


def _check_keys(
    path: Path, where: str, table: Mapping[str, Any], known: Mapping[str, str], aside: str = ""
) -> None:
    for key in table:
        if key not in known:
            expected = _listed(known) + (f", or {aside}" if aside else "")
            raise UsageError(
                f"cannot use {path.name}: {redact(key)!r}{where} is not known; expected {expected}"
            )


def _check_names(path: Path, streams: Sequence[StreamSettings]) -> None:
    seen: set[str | None] = set()
    for stream in streams:
        if stream.name in seen:
            raise UsageError(
                f"cannot use {path.name}: two streams have the name {stream.name!r}, expected a name of its "
                f"own for each"
            )
        seen.add(stream.name)


def _listed(keys: Mapping[str, str]) -> str:
    return ", ".join(sorted(keys))


def _found(value: object) -> str:
    """A value out of the file as it may be shown: short, and without secrets."""
    return redact(repr(value))[:80]
