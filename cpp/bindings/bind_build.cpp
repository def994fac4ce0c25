#include "bindings.hpp"

#include "mapsort/interpolation_kernel.hpp"
#include "mapsort/short_fft.hpp"

#include <pybind11/stl.h>

#include <string> // for std::string
#include <thread> // for std::thread

namespace mapsort::inline MAPSORT_ISA {

namespace py = pybind11;

namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

py::dict build() {
  py::dict info;
  info["compiler"] = compiler();
  info["cxx_standard"] = static_cast<long>(__cplusplus);
  info["flags"] = MAPSORT_FLAGS;
  info["simd_lanes"] = kLanes;
  info["kernel_width"] = kKernelWidth;
  info["insertion_width"] = kInsertionWidth;
#ifdef _OPENMP
  info["openmp"] = static_cast<long>(_OPENMP);
#else
  info["openmp"] = py::none();
#endif
  info["processors"] = std::thread::hardware_concurrency();
  return info;
}

} // namespace

void bind_build(py::module_& m) {
  m.def("build", &build, "How this module was compiled.");
  m.def(
      "kernel_transform",
      [](double oversampling, double f, int width) {
        return kernel_transform(width, kernel_beta(width, oversampling), f);
      },
      py::arg("oversampling"), py::arg("frequency"), py::kw_only(), py::arg("width") = kKernelWidth,
      "Fourier transform of the interpolation kernel at a frequency in cycles per grid point.");
  m.def("good_fft_size", &good_fft_size, py::arg("n"),
        "Smallest number of angles >= n that the alignment loop's FFT takes.");
}

} // namespace mapsort::inline MAPSORT_ISA
