// Every item once, with scratch of its thread's own; an exception of an item comes out.

#include "check.hpp"

#include "mapsort/parallel.hpp"

#include <atomic>    // for std::atomic
#include <stdexcept> // for std::runtime_error
#include <vector>    // for std::vector

using namespace mapsort;

namespace {

void every_item_once() {
  for (int n_threads : {-1, 1, 2, 4, 9})
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

void an_exception_comes_out() {
  for (int n_threads : {1, 4}) {
    CHECK_THROWS(parallel_for(100, n_threads,
                              [](index_t i) {
                                if (i == 57)
                                  throw std::runtime_error("item 57");
                              }),
                 std::runtime_error);
  }
}

} // namespace

int main() {
  every_item_once();
  scratch_is_a_threads_own();
  an_exception_comes_out();
  return mapsort_test::failures;
}
