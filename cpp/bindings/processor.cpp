// Which instruction sets the processor at hand runs: a module of its own, compiled for any
// processor, since it is asked before one of the others is loaded.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string> // for std::string
#include <vector> // for std::vector

#if defined(__x86_64__)
#include <cpuid.h> // for __get_cpuid
#endif

namespace {

#if defined(__x86_64__)

/// What x86-64-v3 has and not every compiler's builtin knows by name: FMA's companions.
bool has_movbe_f16c_lzcnt() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kMovbe = 1u << 22, kF16c = 1u << 29, kLzcnt = 1u << 5;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kMovbe) == 0 || (c & kF16c) == 0)
    return false;
  return __get_cpuid(0x80000001u, &a, &b, &c, &d) != 0 && (c & kLzcnt) != 0;
}

// The builtin asks the system, too, whether it keeps the wide registers.
bool has_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_movbe_f16c_lzcnt();
}

bool has_v4() {
  return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

#else

bool has_v3() { return false; }
bool has_v4() { return false; }

#endif

std::vector<std::string> instruction_sets() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  std::vector<std::string> sets;
  if (has_v4())
    sets.emplace_back("v4");
  if (has_v3())
    sets.emplace_back("v3");
  sets.emplace_back("baseline");
  return sets;
}

} // namespace

PYBIND11_MODULE(_processor, m, pybind11::mod_gil_not_used()) {
  m.doc() = "What the processor at hand can do";
  m.def("instruction_sets", &instruction_sets,
        "Instruction sets of mapsort's kernels that this processor runs, best first.");
}
