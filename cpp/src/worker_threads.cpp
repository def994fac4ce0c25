#include "mapsort/worker_threads.hpp"

#include <atomic>             // for std::atomic
#include <condition_variable> // for std::condition_variable
#include <cstdlib>            // for std::malloc
#include <exception>          // for std::exception, std::uncaught_exceptions
#include <mutex>              // for std::mutex
#include <pthread.h>          // for pthread_atfork
#include <thread>             // for std::thread
#include <vector>             // for std::vector

#ifndef MAPSORT_STD_THREADS
#include <omp.h>
#endif

namespace mapsort::inline MAPSORT_ISA {

namespace {

constexpr std::size_t kRoomForExceptions = 1 << 16;
/// What OpenMP's run time takes for a team, and of each thread in it (generously).
constexpr std::size_t kTeamBytes = 1 << 16, kMemberBytes = 1 << 12;

bool can_take(std::size_t bytes) {
  void* volatile memory = std::malloc(bytes);
  std::free(memory);
  return memory != nullptr;
}

/// Have the C library make this thread's part of the memory that exceptions need, which it does at
/// their first use, and where it finds none for that, ends the process. False if there is none.
bool ready_for_exceptions() {
  return can_take(kRoomForExceptions) && std::uncaught_exceptions() == 0;
}

#ifdef MAPSORT_STD_THREADS

/// For the thread sanitiser, which cannot see what OpenMP's run time orders.
void in_threads(int helpers, void (*work)(void*), void* context) {
  std::vector<std::thread> threads;
  threads.reserve(std::size_t(helpers));
  for (int t = 0; t < helpers; ++t)
    threads.emplace_back([=] {
      if (ready_for_exceptions())
        work(context);
    });
  work(context);
  for (auto& thread : threads)
    thread.join();
}

#else

/// How many more threads the system gives at this moment, up to `n`: all of them wait for the last.
int obtainable(int n) {
  std::mutex mutex;
  std::condition_variable released;
  bool through = false;
  std::vector<std::thread> threads;
  try {
    threads.reserve(std::size_t(n));
    while (int(threads.size()) < n)
      threads.emplace_back([&] {
        std::unique_lock lock(mutex);
        released.wait(lock, [&] { return through; });
      });
  } catch (const std::exception&) { // no thread or no memory: as many as there are
  }
  {
    const std::scoped_lock lock(mutex);
    through = true;
  }
  released.notify_all();
  const int count = int(threads.size());
  for (auto& thread : threads)
    thread.join();
  return count;
}

/// Whether this is a child of fork(): it has none of the threads that OpenMP believes to have.
std::atomic<bool> forked{false};

void in_threads(int helpers, void (*work)(void*), void* context) {
  // OpenMP's run time ends the process where the system gives it no thread or no memory. So ask
  // first, whenever the team of this thread grows; a smaller one keeps what it has.
  static thread_local int team = 0;
  [[maybe_unused]] static const int watched =
      pthread_atfork(nullptr, nullptr, [] { forked = true; });
  if (forked || !can_take(kTeamBytes + kMemberBytes * std::size_t(helpers)))
    helpers = 0;
  else if (helpers > team)
    helpers = team + obtainable(helpers - team);
  team = helpers;
  if (helpers == 0)
    return work(context);
#pragma omp parallel num_threads(helpers + 1)
  {
    // the asking thread does what the others cannot
    if (omp_get_thread_num() == 0 || ready_for_exceptions())
      work(context);
  }
}

#endif

} // namespace

void on_threads(int helpers, void (*work)(void*), void* context) {
  if (helpers < 1)
    work(context);
  else
    in_threads(helpers, work, context);
}

} // namespace mapsort::inline MAPSORT_ISA
