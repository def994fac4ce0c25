#pragma once
// Loops in threads. Work items are independent and write to places of their own, so results do not
// depend on the number of threads or on the order in which they run.

#include "mapsort/view.hpp"
#include "mapsort/worker_threads.hpp"

#include <algorithm> // for std::min
#include <atomic>    // for std::atomic
#include <exception> // for std::exception_ptr

namespace mapsort::inline MAPSORT_ISA {

/// The first exception of any thread, kept for the one that asked for the work.
class FirstFailure {
public:
  bool noted() const { return noted_.load(std::memory_order_relaxed); }

  /// Take the exception that is being handled, unless there is one already.
  void note() noexcept {
    if (!noted_.exchange(true))
      exception_ = std::current_exception();
  }

  /// To be called when all threads are through.
  void rethrow() const {
    if (noted())
      std::rethrow_exception(exception_);
  }

private:
  std::atomic<bool> noted_{false};
  std::exception_ptr exception_;
};

/// Run body(i, scratch) for i in [0, n), each thread with a scratch object of its own, from
/// make_scratch(), which it makes when it has its first item. After an exception, of a body or of
/// the making of a scratch, no more items are begun; it is rethrown when all threads are through.
template <class MakeScratch, class Body>
void parallel_for(index_t n, int n_threads, MakeScratch make_scratch, Body body) {
  FirstFailure failure;
  std::atomic<index_t> next{0};
  auto work = [&]() noexcept {
    try {
      index_t i = next++;
      if (i >= n)
        return;
      auto scratch = make_scratch();
      for (; i < n && !failure.noted(); i = next++)
        body(i, scratch);
    } catch (...) {
      failure.note();
    }
  };
  const auto call = [](void* context) { (*static_cast<decltype(work)*>(context))(); };
  on_threads(static_cast<int>(std::min<index_t>(n_threads, n)) - 1, call, &work);
  failure.rethrow();
}

/// The same without scratch: body(i).
template <class Body> void parallel_for(index_t n, int n_threads, Body body) {
  parallel_for(n, n_threads, [] { return 0; }, [&](index_t i, int) { body(i); });
}

} // namespace mapsort::inline MAPSORT_ISA
