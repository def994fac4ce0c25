#pragma once
// The kernels' threads: one pool for the process, of the C++ library and not of OpenMP, whose run
// time ends the process where the system gives it no more threads or memory, hangs after fork(),
// and hides from the thread sanitiser what it orders.

#include "mapsort/view.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Call work(context) on this thread and, at the same time, on up to `helpers` threads of the pool;
/// return when all that began have returned. Where the system gives fewer threads there are fewer
/// calls, and a call begun late may find nothing left to do. `work` must not throw.
void on_threads(int helpers, void (*work)(void* context), void* context);

} // namespace mapsort::inline MAPSORT_ISA
