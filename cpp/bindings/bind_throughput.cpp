#include "bindings.hpp"

#include "mapsort/throughput.hpp"

namespace mapsort::inline MAPSORT_ISA {

void bind_throughput(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("fma_peak", &fma_peak, py::call_guard<py::gil_scoped_release>(), py::kw_only(),
        py::arg("seconds"), "Highest rate of multiply-adds in registers on one core [GFlop/s].");
  m.def(
      "product_rate",
      [](const ReferenceBank& bank, int n_shifts, double seconds) {
        ProductRate rate{};
        {
          py::gil_scoped_release release;
          rate = product_rate(bank, n_shifts, seconds);
        }
        return py::make_tuple(rate.gflops, rate.product_seconds, rate.fft_seconds, rate.share_used);
      },
      py::arg("bank"), py::kw_only(), py::arg("n_shifts"), py::arg("seconds"),
      "(GFlop/s of the product part, its seconds per shift and reference, those of FFT and "
      "maximum, share of rows and lanes used).");
}

} // namespace mapsort::inline MAPSORT_ISA
