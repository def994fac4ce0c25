#pragma once
// The kernels' threads, those of OpenMP: the only place that knows of it.

#include "mapsort/view.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Call work(context) on this thread and, at the same time, on up to `helpers` others; return when
/// all have returned. Where the system gives fewer threads there are fewer calls, and a call begun
/// late may find nothing left to do. `work` must not throw.
void on_threads(int helpers, void (*work)(void* context), void* context);

} // namespace mapsort::inline MAPSORT_ISA
