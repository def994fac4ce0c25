// Every item once, with scratch of its thread's own; an exception comes out from wherever a thread
// can throw, and no thread waits for another that is gone.

#include "check.hpp"

#include "mapsort/parallel.hpp"

#include <atomic>             // for std::atomic
#include <chrono>             // for std::chrono
#include <condition_variable> // for std::condition_variable
#include <mutex>              // for std::mutex
#include <new>                // for std::bad_alloc
#include <stdexcept>          // for std::runtime_error
#include <sys/resource.h>     // for setrlimit
#include <sys/wait.h>         // for waitpid
#include <thread>             // for std::this_thread
#include <unistd.h>           // for fork
#include <vector>             // for std::vector

using namespace mapsort;

namespace {

constexpr int kTimes = 100;
/// The sanitisers' own threads and memory do not live through fork() and limits.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

void pause() { std::this_thread::sleep_for(std::chrono::microseconds(50)); }

void every_item_once() {
  for (int n_threads : {-1, 0, 1, 2, 4, 9})
    for (index_t n : {0, 1, 3, 1000}) {
      std::vector<int> seen(std::size_t(n), 0);
      parallel_for(n, n_threads, [&](index_t i) { ++seen[std::size_t(i)]; });
      for (int times : seen)
        CHECK(times == 1, times);
    }
}

void scratch_is_a_threads_own() {
  std::atomic<int> made{0};
  std::vector<index_t> sums(500, 0);
  parallel_for(
      500, 4,
      [&] {
        ++made;
        return std::vector<index_t>(64, 0);
      },
      [&](index_t i, std::vector<index_t>& scratch) {
        for (auto& value : scratch)
          value = i;
        for (auto value : scratch)
          sums[std::size_t(i)] += value;
      });
  CHECK(made >= 1 && made <= 4, made.load());
  for (index_t i = 0; i < 500; ++i)
    CHECK(sums[std::size_t(i)] == 64 * i, i);
}

void threads_work_at_the_same_time() {
  // an item ends when all have begun: with fewer threads than items this would not end
  constexpr int kThreads = 4;
  std::mutex mutex;
  std::condition_variable all_here;
  int here = 0;
  parallel_for(kThreads, kThreads, [&](index_t) {
    std::unique_lock lock(mutex);
    ++here;
    all_here.notify_all();
    all_here.wait(lock, [&] { return here == kThreads; });
  });
  CHECK(here == kThreads, here);
}

void no_scratch_without_an_item() {
  std::atomic<int> made{0};
  parallel_for(2, 8, [&] { return ++made; }, [](index_t, int) { pause(); });
  CHECK(made <= 2, made.load());
  made = 0;
  parallel_for(0, 8, [&] { return ++made; }, [](index_t, int) {});
  CHECK(made == 0, made.load());
}

void an_exception_of_an_item_comes_out() {
  for (int n_threads : {1, 2, 4})
    for (index_t bad : {0, 1, 57, 99})
      CHECK_THROWS(parallel_for(100, n_threads,
                                [bad](index_t i) {
                                  if (i == bad)
                                    throw std::runtime_error("item");
                                }),
                   std::runtime_error);
}

void all_items_may_throw() {
  for (int n_threads : {1, 2, 4})
    CHECK_THROWS(
        parallel_for(100, n_threads, [](index_t) { throw std::runtime_error("any item"); }),
        std::runtime_error);
}

/// The thread that is the `bad`-th to make its scratch finds no memory.
void an_exception_of_a_scratch_comes_out() {
  for (int n_threads : {1, 2, 4})
    for (int bad = 1; bad <= n_threads; ++bad)
      for (int time = 0; time < kTimes; ++time) {
        std::atomic<int> made{0};
        const auto make = [&] {
          if (++made == bad)
            throw std::bad_alloc();
          return 0;
        };
        bool thrown = false;
        try {
          parallel_for(2000, n_threads, make, [](index_t, int) { pause(); });
        } catch (const std::bad_alloc&) {
          thrown = true;
        }
        // the others may be through before a late thread makes its own
        CHECK(thrown == (made >= bad), made.load());
      }
}

void all_scratches_may_throw() {
  for (int n_threads : {1, 2, 4})
    CHECK_THROWS(parallel_for(
                     100, n_threads, []() -> int { throw std::bad_alloc(); }, [](index_t, int) {}),
                 std::bad_alloc);
}

void an_exception_ends_the_work_early() {
  std::atomic<int> done{0};
  CHECK_THROWS(parallel_for(100000, 4,
                            [&](index_t i) {
                              if (i == 3)
                                throw std::runtime_error("item 3");
                              ++done;
                              pause();
                            }),
               std::runtime_error);
  CHECK(done < 50000, done.load());
}

void a_loop_in_a_loop() {
  std::atomic<int> done{0};
  parallel_for(8, 4, [&](index_t) { parallel_for(50, 4, [&](index_t) { ++done; }); });
  CHECK(done == 400, done.load());
  CHECK_THROWS(parallel_for(8, 4,
                            [&](index_t) {
                              parallel_for(50, 4, [](index_t i) {
                                if (i == 20)
                                  throw std::runtime_error("within");
                              });
                            }),
               std::runtime_error);
}

void several_callers() {
  std::atomic<int> done{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int time = 0; time < kTimes; ++time)
        parallel_for(20, 3, [&](index_t) { ++done; });
    });
  for (auto& caller : callers)
    caller.join();
  CHECK(done == 4 * kTimes * 20, done.load());
}

/// Run `body` in a forked child; true if it returned true.
template <class Body> bool in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20); // the end of a child that hangs
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0;
}

bool all_done_in(int n_threads) {
  std::atomic<int> done{0};
  parallel_for(100, n_threads, [&](index_t) {
    ++done;
    pause();
  });
  return done == 100;
}

void a_forked_child_has_threads_of_its_own() {
  CHECK(all_done_in(4), 0);
  CHECK(in_child([] { return all_done_in(4) && all_done_in(8); }), 0);
  CHECK(all_done_in(4), 0);
}

/// No address space for the stack of a thread: those that are there do the work.
void fewer_threads_where_there_are_no_more() {
  CHECK(in_child([] {
          const rlimit none{1 << 20, 1 << 20};
          return setrlimit(RLIMIT_AS, &none) == 0 && all_done_in(64) && all_done_in(64);
        }),
        0);
}

} // namespace

int main() {
  every_item_once();
  scratch_is_a_threads_own();
  threads_work_at_the_same_time();
  no_scratch_without_an_item();
  an_exception_of_an_item_comes_out();
  all_items_may_throw();
  an_exception_of_a_scratch_comes_out();
  all_scratches_may_throw();
  an_exception_ends_the_work_early();
  a_loop_in_a_loop();
  several_callers();
  if (!kSanitized) {
    a_forked_child_has_threads_of_its_own();
    fewer_threads_where_there_are_no_more();
  }
  return mapsort_test::failures;
}
