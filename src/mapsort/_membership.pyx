# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
"""Book-keeping of classes: membership (CSR), keep and reject."""

import numpy as np

from libc.math cimport ceil


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
