#pragma once
// The whole test framework: a failed check says where and what, and main() returns how many failed.

#include <cstdio> // for std::printf

namespace mapsort_test {

inline int failures = 0;

inline void report(bool holds, const char* text, const char* file, int line, double value) {
  if (holds)
    return;
  ++failures;
  std::printf("%s:%d: failed: %s (value %g)\n", file, line, text, value);
}

} // namespace mapsort_test

/// Check a condition; `value` is printed when it fails.
#define CHECK(condition, value)                                                                    \
  mapsort_test::report((condition), #condition, __FILE__, __LINE__, double(value))

/// Check that a statement throws this exception.
#define CHECK_THROWS(statement, exception)                                                         \
  do {                                                                                             \
    bool thrown = false;                                                                           \
    try {                                                                                          \
      statement;                                                                                   \
    } catch (const exception&) {                                                                   \
      thrown = true;                                                                               \
    }                                                                                              \
    mapsort_test::report(thrown, #statement " throws " #exception, __FILE__, __LINE__, 0.0);       \
  } while (false)
