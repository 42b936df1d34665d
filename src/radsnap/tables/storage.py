"""Tables in files: CSV and Parquet to text columns and back, written whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.errors import TableError

SUFFIXES = (".csv", ".parquet")
MAX_BYTES = 2 * 1024**3
MAX_COLUMNS = 5000
BLOCK_BYTES = 16 * 1024**2
MAX_CELLS = 2_000_000_000


def read_text(path: Path, error: type[TableError], names: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Read a CSV (also .csv.gz) or Parquet file with every cell as text; blank and missing cells become "".

    names: the columns of a CSV without a header. Column names lose the spaces around them. Raises `error`
    when the file is absent, empty, too large, ragged, not UTF-8, or names a column twice.
    """
    if not path.name.lower().endswith((*SUFFIXES, ".csv.gz")):
        raise error(f"{path}: a table is a .csv or .parquet file, got '{path.suffix or path.name}'")
    if not path.is_file():
        raise error(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise error(f"{path}: {path.stat().st_size} bytes; a table may have {MAX_BYTES}; cut it in parts")
    parquet = path.suffix.lower() == ".parquet"
    frame = _read_parquet(path, error) if parquet else _read_csv(path, error, names)
    return _with_clean_names(frame, path, error)


def _with_clean_names(frame: pd.DataFrame, path: Path, error: type[TableError]) -> pd.DataFrame:
    names = [str(name).strip() for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise error(f"{path}: column '{name}' stands twice; rename or remove one")
    frame.columns = pd.Index(names)
    return frame


def _read_csv(path: Path, error: type[TableError], names: tuple[str, ...] | None) -> pd.DataFrame:
    # pyarrow reads four times as fast as pandas, refuses ragged rows, and does not rename a repeated column
    from pyarrow import ArrowInvalid, csv, string

    if path.stat().st_size == 0:
        raise error(f"{path}: the file is empty; its first row names the columns")
    text = {f"f{k}": string() for k in range(MAX_COLUMNS)}
    try:
        raw: pd.DataFrame = csv.read_csv(
            _opened(path, error),
            read_options=csv.ReadOptions(autogenerate_column_names=True, block_size=BLOCK_BYTES),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=text, strings_can_be_null=False),
        ).to_pandas()
    except ArrowInvalid as problem:
        raise error(f"{path}: not a comma-separated table in UTF-8 ({_first_line(problem)})") from problem
    header = raw.iloc[0].tolist() if names is None else list(names)
    if len(header) != len(raw.columns):
        raise error(f"{path}: {len(raw.columns)} columns, expected {len(header)} ({', '.join(header)})")
    frame = raw.iloc[1 if names is None else 0 :].reset_index(drop=True).astype(str)
    frame.columns = pd.Index(header)
    return frame


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0][:200]


def _opened(path: Path, error: type[TableError]) -> Path | io.BytesIO:
    """Unpack a .gz within the bound, so that a small file cannot fill the memory."""
    if path.suffix.lower() != ".gz":
        return path
    try:
        with gzip.open(path) as packed:
            data = packed.read(MAX_BYTES + 1)
    except (OSError, EOFError) as problem:
        raise error(f"{path}: not a whole gzip file ({problem})") from problem
    if len(data) > MAX_BYTES:
        raise error(f"{path}: more than {MAX_BYTES} bytes when unpacked; cut it in parts")
    return io.BytesIO(data)


def _read_parquet(path: Path, error: type[TableError]) -> pd.DataFrame:
    from pyarrow import ArrowException
    from pyarrow import parquet as pq

    try:
        header = pq.read_metadata(path)
        if header.num_rows * header.num_columns > MAX_CELLS:
            raise error(f"{path}: {header.num_rows} rows of {header.num_columns} columns are too many")
        frame = pd.read_parquet(path)
        return pd.DataFrame({name: as_text(frame[name]) for name in frame.columns})
    except (ArrowException, OSError, ValueError, TypeError) as problem:
        raise error(f"{path}: not a Parquet table ({_first_line(problem)})") from problem


def as_text(column: pd.Series) -> pd.Series:
    """Write a column's cells as text: blank for missing, whole numbers without a point."""
    if pd.api.types.is_string_dtype(column.dtype) and column.dtype != object:
        return column.fillna("").astype(str)
    codes, values = pd.factorize(column)
    texts = np.array([*(_cell(value) for value in values), ""], dtype=object)  # code -1 is missing
    return pd.Series(texts[codes], index=column.index, dtype=str)


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table under a temporary name beside `path`, then put it in place: whole or not at all."""
    if path.suffix.lower() not in SUFFIXES:
        raise TableError(f"{path}: a table is written as .csv or .parquet, got '{path.suffix or path.name}'")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False, lineterminator="\n")
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
