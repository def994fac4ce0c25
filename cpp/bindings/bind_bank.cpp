#include "bindings.hpp"
#include "window.hpp"

#include "mapsort/reference_bank.hpp"

#include <memory> // for std::unique_ptr

namespace mapsort::inline MAPSORT_ISA {

namespace {

Normalisation named(const std::string& name) {
  if (name == "none")
    return Normalisation::none;
  if (name == "rings")
    return Normalisation::rings;
  require(name == "phases",
          [&] { return "normalisation: expected none, rings or phases, got " + name; });
  return Normalisation::phases;
}

std::unique_ptr<ReferenceBank> part(const ReferenceBank& whole, const py::array& ring_ranges,
                                    index_t n_rings, index_t n_angles, int n_rotations,
                                    int n_threads) {
  const auto ranges = view<const std::int32_t, 2>(ring_ranges, "ring_ranges", {-1, 2});
  const PolarGrid grid{whole.layout().grid.first_ring, n_rings, n_angles};
  auto bank = std::make_unique<ReferenceBank>(whole.box(), whole.normalisation(),
                                              PolarLayout(grid, n_rotations, ranges));
  py::gil_scoped_release release;
  bank->take_part_of(whole, n_threads);
  return bank;
}

py::tuple statistics(const ReferenceBank& bank) {
  const index_t n_rings = bank.layout().grid.n_rings;
  py::array_t<double> power({index_t(bank.layout().max_order() + 1), n_rings});
  py::array_t<double> mean(std::array<index_t, 1>{n_rings});
  bank.statistics(view<double, 2>(power, "power", {-1, -1}), view<double, 1>(mean, "mean", {-1}));
  return py::make_tuple(power, mean);
}

} // namespace

void bind_bank(py::module_& m) {
  py::class_<ReferenceBank>(m, "ReferenceBank", "Polar coefficients of references, for alignment.")
      .def(py::init([](index_t first_ring, index_t n_rings, index_t n_angles, index_t box,
                       double support_radius, const std::string& normalisation) {
             return std::make_unique<ReferenceBank>(PolarGrid{first_ring, n_rings, n_angles}, box,
                                                    support_radius, named(normalisation));
           }),
           py::kw_only(), py::arg("first_ring"), py::arg("n_rings"), py::arg("n_angles"),
           py::arg("box"), py::arg("support_radius"), py::arg("normalisation") = "none")
      .def(
          "add",
          [](ReferenceBank& bank, const Window& window, const py::array& rotations, int n_threads) {
            const auto turns = rotations_view(rotations, "rotations");
            py::gil_scoped_release release;
            bank.add(window.view(), turns, n_threads);
          },
          py::arg("window"), py::kw_only(), py::arg("rotations"), py::arg("n_threads") = 1,
          "Append the slices of one map at these rotations.")
      .def(
          "add_images",
          [](ReferenceBank& bank, const py::array& spectra, double scale, double oversampling,
             int n_threads) {
            const auto images = view<const complex_t, 3>(spectra, "spectra", {-1, -1, -1});
            require(images.shape[2] == images.shape[1] / 2 + 1,
                    "spectra: expected shape (n, padded, padded//2+1)");
            py::gil_scoped_release release;
            bank.add_images(images, scale, oversampling, n_threads);
          },
          py::arg("spectra"), py::kw_only(), py::arg("scale"), py::arg("oversampling"),
          py::arg("n_threads") = 1, "Append 2-D references from their padded transforms.")
      .def("part", &part, py::arg("ring_ranges"), py::kw_only(), py::arg("n_rings"),
           py::arg("n_angles"), py::arg("n_rotations"), py::arg("n_threads") = 1,
           "New bank with the rings [first, last) of each order only.")
      .def("statistics", &statistics,
           "(power, mean): mean |p_m(k)|^2 over the references, and the mean of Re p_0(k).")
      .def("__len__", &ReferenceBank::size)
      .def_property_readonly("n_angles",
                             [](const ReferenceBank& b) { return b.layout().grid.n_angles; })
      .def_property_readonly("n_rotations",
                             [](const ReferenceBank& b) { return b.layout().n_rotations; })
      .def_property_readonly("n_rings",
                             [](const ReferenceBank& b) { return b.layout().grid.n_rings; })
      .def_property_readonly("max_order",
                             [](const ReferenceBank& b) { return b.layout().max_order(); })
      .def_property_readonly("n_entries",
                             [](const ReferenceBank& b) { return b.layout().n_entries(); });
}

} // namespace mapsort::inline MAPSORT_ISA
