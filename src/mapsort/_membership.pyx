# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
"""Per-particle book-keeping: streaming top-k, class membership (CSR), keep and reject."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport ceil

cdef bint better(float a, int ra, float b, int rb) noexcept nogil:
    # Ties go to the lower reference, so that the order of blocks does not matter.
    return a > b or (a == b and ra < rb)


cdef void merge_row(
    const float* score,
    const int* code,
    Py_ssize_t n_block,
    int first_reference,
    float* top_score,
    int* top_reference,
    int* top_code,
    Py_ssize_t k,
) noexcept nogil:
    """Insert one particle's scores into its list of the k best."""
    cdef Py_ssize_t r, at
    cdef int reference
    for r in range(n_block):
        reference = first_reference + <int>r
        if top_reference[k - 1] >= 0 and not better(
            score[r], reference, top_score[k - 1], top_reference[k - 1]
        ):
            continue
        at = k - 1
        while at > 0 and (
            top_reference[at - 1] < 0
            or better(score[r], reference, top_score[at - 1], top_reference[at - 1])
        ):
            top_score[at] = top_score[at - 1]
            top_reference[at] = top_reference[at - 1]
            top_code[at] = top_code[at - 1]
            at -= 1
        top_score[at] = score[r]
        top_reference[at] = reference
        top_code[at] = code[r]


def merge_top(
    const float[:, ::1] scores not None,  # IN (n, n_block)
    const int[:, ::1] codes not None,     # IN (n, n_block)
    int first_reference,                  # IN number of the block's first reference
    float[:, ::1] top_score not None,     # INOUT (n, k), descending; -inf where empty
    int[:, ::1] top_reference not None,   # INOUT (n, k); -1 where empty
    int[:, ::1] top_code not None,        # INOUT (n, k)
    int n_threads=1,                      # IN
):
    """Merge one block of references into the k best of each particle (insertion into lists)."""
    cdef Py_ssize_t n = scores.shape[0], n_block = scores.shape[1], k = top_score.shape[1]
    cdef Py_ssize_t i
    if codes.shape[0] != n or codes.shape[1] != n_block:
        raise ValueError("codes: expected the shape of scores")
    if top_score.shape[0] != n or top_reference.shape[0] != n or top_code.shape[0] != n:
        raise ValueError("top arrays: expected one row per particle")
    if top_reference.shape[1] != k or top_code.shape[1] != k:
        raise ValueError("top arrays: expected the same number of columns")
    if k == 0 or n_block == 0:
        return
    for i in prange(n, nogil=True, schedule="static", num_threads=max(1, min(n, n_threads))):
        merge_row(
            &scores[i, 0], &codes[i, 0], n_block, first_reference,
            &top_score[i, 0], &top_reference[i, 0], &top_code[i, 0], k,
        )


def group_by_class(
    const int[::1] class_of not None,  # IN (n_members): class, or -1 for none
    int n_classes,                     # IN
):
    """Return (start, member): members of class c are member[start[c]:start[c + 1]], ascending."""
    cdef Py_ssize_t n = class_of.shape[0], i
    cdef int c
    if n_classes < 0:
        raise ValueError(f"n_classes: expected at least 0, got {n_classes}")
    start_array = np.zeros(n_classes + 1, dtype=np.int64)
    cdef long long[::1] start = start_array
    for i in range(n):
        c = class_of[i]
        if c >= n_classes:
            raise ValueError(f"class_of: {c} is beyond the {n_classes} classes")
        if c >= 0:
            start[c + 1] += 1
    for i in range(n_classes):
        start[i + 1] += start[i]
    member_array = np.empty(start[n_classes], dtype=np.int64)
    next_array = start_array.copy()
    cdef long long[::1] member = member_array
    cdef long long[::1] place = next_array
    for i in range(n):
        c = class_of[i]
        if c >= 0:
            member[place[c]] = i
            place[c] += 1
    return start_array, member_array


def keep_best(
    const long long[::1] start not None,   # IN (n_classes + 1)
    const long long[::1] member not None,  # IN (n_members)
    const float[::1] score not None,       # IN (n_all): bigger is better
    double fraction,                       # IN
    bint by_sigma,                         # IN
):
    """Return used (n_members,) bool: which members of each class are good enough.

    Without by_sigma the ceil(n * fraction) best of each class are kept, at least one; with it,
    those with score >= mean - fraction * sigma of their class. Ties are kept in the order of
    members.
    """
    cdef Py_ssize_t n_classes = start.shape[0] - 1, c, i, first, last, n_keep
    cdef double total, total2, mean, sigma
    if n_classes < 0 or start[0] != 0 or start[n_classes] != member.shape[0]:
        raise ValueError("start: expected n_classes + 1 positions from 0 to the number of members")
    for c in range(n_classes):
        if start[c + 1] < start[c]:
            raise ValueError("start: expected ascending positions")
    for i in range(member.shape[0]):
        if member[i] < 0 or member[i] >= score.shape[0]:
            raise ValueError(f"member: {member[i]} is beyond the {score.shape[0]} scores")
    used_array = np.zeros(member.shape[0], dtype=np.uint8)
    cdef unsigned char[::1] used = used_array
    for c in range(n_classes):
        first, last = start[c], start[c + 1]
        if last == first:
            continue
        if by_sigma:
            total = total2 = 0.0
            for i in range(first, last):
                total += score[member[i]]
            mean = total / (last - first)
            for i in range(first, last):
                total2 += (score[member[i]] - mean) ** 2
            sigma = (total2 / (last - first)) ** 0.5
            for i in range(first, last):
                # the tolerance keeps members of a class of equal scores in spite of rounding
                used[i] = score[member[i]] >= mean - fraction * sigma - 1e-6 * abs(mean)
            continue
        n_keep = max(1, min(last - first, <Py_ssize_t>ceil((last - first) * fraction - 1e-9)))
        order = np.argsort(
            -np.asarray(score)[np.asarray(member)[first:last]], kind="stable"
        )[:n_keep]
        used_array[first + order] = 1
    return used_array.astype(bool)
