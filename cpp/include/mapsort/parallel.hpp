#pragma once
// The only file that knows OpenMP. Work items are independent and write to places of their own,
// so results do not depend on the number of threads or on the order in which they run.

#include "mapsort/view.hpp"

#include <exception> // for std::exception_ptr

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef MAPSORT_STD_THREADS
#include <atomic> // for std::atomic
#include <mutex>  // for std::mutex
#include <thread> // for std::thread
#include <vector> // for std::vector
#endif

namespace mapsort::inline MAPSORT_ISA {

inline int hardware_threads() {
#ifdef _OPENMP
  return omp_get_num_procs();
#else
  return 1;
#endif
}

/// Run body(i) for i in [0, n), each thread with a scratch object of its own from make_scratch():
/// body(i, scratch). The first exception thrown by a body is rethrown after the region.
template <class MakeScratch, class Body>
void parallel_for(index_t n, int n_threads, MakeScratch make_scratch, Body body) {
  std::exception_ptr failure = nullptr;
  if (n_threads < 1)
    n_threads = 1;
#ifdef MAPSORT_STD_THREADS
  // For the thread sanitiser, which cannot see into OpenMP's runtime.
  std::atomic<index_t> next{0};
  std::mutex failing;
  auto work = [&] {
    try {
      auto scratch = make_scratch();
      for (index_t i = next++; i < n; i = next++)
        body(i, scratch);
    } catch (...) {
      const std::lock_guard lock(failing);
      if (!failure)
        failure = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < n_threads && t < n; ++t)
    threads.emplace_back(work);
  work();
  for (auto& thread : threads)
    thread.join();
#else
#pragma omp parallel num_threads(n_threads) if (n_threads > 1 && n > 1)
  {
    try {
      auto scratch = make_scratch();
#pragma omp for schedule(dynamic, 1)
      for (index_t i = 0; i < n; ++i) {
        try {
          body(i, scratch);
        } catch (...) {
#pragma omp critical(mapsort_failure)
          if (!failure)
            failure = std::current_exception();
        }
      }
    } catch (...) {
#pragma omp critical(mapsort_failure)
      if (!failure)
        failure = std::current_exception();
    }
  }
#endif
  if (failure)
    std::rethrow_exception(failure);
}

/// The same without scratch: body(i).
template <class Body> void parallel_for(index_t n, int n_threads, Body body) {
  parallel_for(n, n_threads, [] { return 0; }, [&](index_t i, int) { body(i); });
}

} // namespace mapsort::inline MAPSORT_ISA
