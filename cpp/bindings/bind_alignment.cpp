#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/alignment.hpp"

#include <memory> // for std::unique_ptr

namespace mapsort::inline MAPSORT_ISA {

namespace {

ParticleBatch batch(const ReferenceBank& bank, const py::array& spectra, const py::array& ctf,
                    const py::array& ring_weight, double scale, double oversampling, double apix) {
  const auto images = view<const complex_t, 3>(spectra, "spectra", {-1, -1, -1});
  return {images,
          view<const float, 2>(ctf, "ctf", {images.shape[0], 7}),
          view<const float, 1>(ring_weight, "ring_weight", {bank.layout().grid.n_rings}),
          scale,
          oversampling,
          apix};
}

py::tuple pairs(const ReferenceBank& bank, const py::array& spectra, const py::array& ctf,
                const py::array& ring_weight, double scale, double oversampling, double apix,
                const py::array& origins, bool rotate, bool try_mirror, int n_threads) {
  const auto particles = batch(bank, spectra, ctf, ring_weight, scale, oversampling, apix);
  const auto shifts = view<const float, 2>(origins, "origins", {-1, 2});
  const index_t n = particles.spectra.shape[0];
  py::array_t<float> cross({n, bank.size()}), norm({n, bank.size()});
  py::array_t<std::int32_t> code({n, bank.size()});
  const PairResults results{view<float, 2>(cross, "cross", {-1, -1}),
                            view<float, 2>(norm, "norm", {-1, -1}),
                            view<std::int32_t, 2>(code, "code", {-1, -1})};
  {
    py::gil_scoped_release release;
    search_pairs(bank, particles, shifts, {rotate, true, try_mirror}, results, n_threads);
  }
  return py::make_tuple(cross, norm, code);
}

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

Candidates candidates_of(const py::array& reference, const py::array& origin,
                         const py::array& alpha, const py::array& mirror, const py::array& cross,
                         const py::array& norm, index_t n) {
  const auto ids = view<const std::int32_t, 2>(reference, "reference", {n, -1});
  const Extents<2> shape = ids.shape;
  return {ids,
          view<float, 3>(origin, "origin", {shape[0], shape[1], 2}),
          view<float, 2>(alpha, "alpha", shape),
          view<std::int32_t, 2>(mirror, "mirror", shape),
          view<float, 2>(cross, "cross", shape),
          view<float, 2>(norm, "norm", shape)};
}

} // namespace

void bind_alignment(py::module_& m) {
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
          [](ReferenceBank& bank, const py::array& window, double scale, double oversampling,
             int width, const py::array& rotations, int n_threads) {
            const auto source = view<const complex_t, 3>(window, "window", {-1, -1, -1});
            const auto turns = rotations_view(rotations, "rotations");
            py::gil_scoped_release release;
            bank.add({source, width, scale, oversampling}, turns, n_threads);
          },
          py::arg("window"), py::kw_only(), py::arg("scale"), py::arg("oversampling"),
          py::arg("width") = kKernelWidth, py::arg("rotations"), py::arg("n_threads") = 1,
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

  m.def("search_pairs", &pairs, py::arg("bank"), py::kw_only(), py::arg("spectra"), py::arg("ctf"),
        py::arg("ring_weight"), py::arg("scale"), py::arg("oversampling"), py::arg("apix"),
        py::arg("origins"), py::arg("rotate") = true, py::arg("try_mirror") = true,
        py::arg("n_threads") = 1,
        "Best alignment of every particle to every reference: (cross, norm, code).");
  m.def(
      "search_candidates",
      [](const ReferenceBank& bank, const py::array& spectra, const py::array& ctf,
         const py::array& ring_weight, double scale, double oversampling, double apix, double step,
         int reach, int max_nodes, double max_origin, const py::array& reference,
         const py::array& origin, const py::array& alpha, const py::array& mirror,
         const py::array& cross, const py::array& norm, bool rotate, bool try_mirror,
         int n_threads) {
        const auto particles = batch(bank, spectra, ctf, ring_weight, scale, oversampling, apix);
        const auto list = candidates_of(reference, origin, alpha, mirror, cross, norm,
                                        particles.spectra.shape[0]);
        py::gil_scoped_release release;
        search_candidates(bank, particles, step, reach, max_nodes, max_origin,
                          {rotate, true, try_mirror}, list, n_threads);
      },
      py::arg("bank"), py::kw_only(), py::arg("spectra"), py::arg("ctf"), py::arg("ring_weight"),
      py::arg("scale"), py::arg("oversampling"), py::arg("apix"), py::arg("step"), py::arg("reach"),
      py::arg("max_nodes"), py::arg("max_origin"), py::arg("reference"), py::arg("origin"),
      py::arg("alpha"), py::arg("mirror"), py::arg("cross"), py::arg("norm"),
      py::arg("rotate") = true, py::arg("try_mirror") = true, py::arg("n_threads") = 1,
      "Search candidates on a shift lattice around where they stand; fills the arrays in place.");
  m.def(
      "refine_candidates",
      [](const ReferenceBank& bank, const py::array& spectra, const py::array& ctf,
         const py::array& ring_weight, double scale, double oversampling, double apix,
         int iterations, double max_origin, const py::array& reference, const py::array& origin,
         const py::array& alpha, const py::array& mirror, const py::array& cross,
         const py::array& norm, bool rotate, bool translate, int n_threads) {
        const auto particles = batch(bank, spectra, ctf, ring_weight, scale, oversampling, apix);
        const auto list = candidates_of(reference, origin, alpha, mirror, cross, norm,
                                        particles.spectra.shape[0]);
        py::gil_scoped_release release;
        refine_candidates(bank, particles, iterations, max_origin, {rotate, translate, true}, list,
                          n_threads);
      },
      py::arg("bank"), py::kw_only(), py::arg("spectra"), py::arg("ctf"), py::arg("ring_weight"),
      py::arg("scale"), py::arg("oversampling"), py::arg("apix"), py::arg("iterations"),
      py::arg("max_origin"), py::arg("reference"), py::arg("origin"), py::arg("alpha"),
      py::arg("mirror"), py::arg("cross"), py::arg("norm"), py::arg("rotate") = true,
      py::arg("translate") = true, py::arg("n_threads") = 1,
      "Newton refinement of (alpha, origin) of the candidates; fills the arrays in place.");
}

} // namespace mapsort::inline MAPSORT_ISA
