#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/class_average.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

void accumulate(const py::array& spectra, const py::array& ctf, double scale, double oversampling,
                double apix, double max_radius, const py::array& order, const py::array& slot_start,
                const py::array& slot, const py::array& alpha, const py::array& origin,
                const py::array& mirror, const py::array& weight, const py::array& references,
                const py::array& numerator, const py::array& density, const py::array& image_power,
                const py::array& cross, const py::array& reference_power, int n_threads) {
  const auto images = view<const complex_t, 3>(spectra, "spectra", {-1, -1, -1});
  const auto transfer = view<const float, 2>(ctf, "ctf", {images.shape[0], 7});
  const auto slots = view<const std::int32_t, 1>(slot, "slot", {-1});
  const auto used = view<const std::int32_t, 1>(order, "order", {-1});
  const index_t n = used.shape[0];
  const Placement placement{
      used,
      view<const std::int32_t, 1>(slot_start, "slot_start", {slots.shape[0] + 1}),
      slots,
      view<const float, 1>(alpha, "alpha", {n}),
      view<const float, 2>(origin, "origin", {n, 2}),
      view<const std::int32_t, 1>(mirror, "mirror", {n}),
      view<const float, 1>(weight, "weight", {n})};
  const ClassSums sums{view<complex_t, 3>(numerator, "numerator", {-1, -1, -1}),
                       view<float, 3>(density, "density", {-1, -1, -1})};
  require(sums.density.shape == sums.numerator.shape, "density: expected the numerator's shape");
  const auto slices = view<const complex_t, 3>(
      references, "references", {-1, sums.numerator.shape[1], sums.numerator.shape[2]});
  require(slices.shape[0] > 0, "references: expected at least one");
  const auto image_sums = view<float, 2>(image_power, "image_power", {n, -1});
  const ShellSums shells{image_sums, view<float, 2>(cross, "cross", image_sums.shape),
                         view<float, 2>(reference_power, "reference_power", image_sums.shape)};
  for (index_t s = 0; s < slots.shape[0]; ++s)
    require(slots(s) >= 0 && slots(s) < sums.numerator.shape[0] &&
                (s == 0 || slots(s - 1) < slots(s)),
            "slot: expected ascending rows of the sums");
  for (index_t s = 0; s <= slots.shape[0]; ++s)
    require(placement.slot_start(s) >= (s == 0 ? 0 : placement.slot_start(s - 1)) &&
                placement.slot_start(s) <= n,
            "slot_start: expected ascending positions in order");
  for (index_t i = 0; i < n; ++i)
    require(used(i) >= 0 && used(i) < images.shape[0], "order: particle beyond the spectra");
  py::gil_scoped_release release;
  accumulate_classes(images, transfer, scale, oversampling, apix, max_radius, placement, slices,
                     sums, shells, n_threads);
}

} // namespace

void bind_class_average(py::module_& m) {
  m.def("accumulate_classes", &accumulate, py::kw_only(), py::arg("spectra"), py::arg("ctf"),
        py::arg("scale"), py::arg("oversampling"), py::arg("apix"), py::arg("max_radius"),
        py::arg("order"), py::arg("slot_start"), py::arg("slot"), py::arg("alpha"),
        py::arg("origin"), py::arg("mirror"), py::arg("weight"), py::arg("references"),
        py::arg("numerator"), py::arg("density"), py::arg("image_power"), py::arg("cross"),
        py::arg("reference_power"), py::arg("n_threads") = 1,
        "Add aligned particles to their classes' sums, in place, with shell statistics.");
}

} // namespace mapsort::inline MAPSORT_ISA
