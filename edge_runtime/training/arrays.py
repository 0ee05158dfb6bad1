"""Arrays by name in one file, an .npz whose bytes depend on nothing but the arrays."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from edge_runtime.errors import BundleError
from edge_runtime.tensors import Array

_OLDEST = (1980, 1, 1, 0, 0, 0)  # the date of every entry, so that equal weights give equal bytes


def write_parameters(parameters: Mapping[str, Array]) -> bytes:
    """Arrays by name as an .npz: the same arrays give the same bytes, as `numpy.savez` does not promise."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in parameters.items():
            add(archive, name, array)
    return stream.getvalue()


def add(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    """Write one array into an open .npz."""
    with archive.open(
        zipfile.ZipInfo(f"{name}.npy", _OLDEST), "w", force_zip64=array.nbytes > 2**31
    ) as entry:
        np.lib.format.write_array(entry, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)


def read_parameters(content: bytes, where: str) -> dict[str, Array]:
    """What `write_parameters` wrote.

    Raises:
        BundleError: it is not an .npz of plain arrays.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{where}: params.npz is not a NumPy archive of plain arrays ({error})") from error
