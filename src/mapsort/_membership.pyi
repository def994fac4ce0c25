"""Types of the compiled book-keeping."""

import numpy as np
import numpy.typing as npt

def group_by_class(
    class_of: npt.NDArray[np.int32],  # (n_members,)
    n_classes: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
def keep_best(
    start: npt.NDArray[np.int64],  # (n_classes + 1,)
    member: npt.NDArray[np.int64],  # (n_members,)
    score: npt.NDArray[np.float32],  # (n_all,)
    fraction: float,
    by_sigma: bool,
) -> npt.NDArray[np.bool_]: ...
