"""Names of array types, as annotations tell them: the type of the elements; docstrings tell shapes.

Everything is a NumPy array, and each type has one name, so that signatures can be read. `Real` and
`Integer` are what a function takes of any precision; the others are what it returns, keeps or hands
to a kernel, which converts nothing. `Indices` choose rows, `Bool` is a mask of them; `Array` may
hold anything.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Complex64: TypeAlias = NDArray[np.complex64]
Complex128: TypeAlias = NDArray[np.complex128]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]
UInt8: TypeAlias = NDArray[np.uint8]
Indices: TypeAlias = NDArray[np.intp]
Bool: TypeAlias = NDArray[np.bool_]
Real: TypeAlias = NDArray[np.floating]
Integer: TypeAlias = NDArray[np.integer]
Array: TypeAlias = NDArray[Any]
