#include "bindings.hpp"
#include "particles.hpp"

#include "mapsort/class_average.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// How particles go into classes, from Python's arrays, which are kept alive.
class PlacementArrays {
public:
  PlacementArrays(py::array order, py::array slot_start, py::array slot, py::array alpha,
                  py::array origin, py::array mirror, py::array weight)
      : arrays_{std::move(order),  std::move(slot_start), std::move(slot),  std::move(alpha),
                std::move(origin), std::move(mirror),     std::move(weight)} {
    const auto used = view<const std::int32_t, 1>(arrays_[0], "order", {-1});
    const auto slots = view<const std::int32_t, 1>(arrays_[2], "slot", {-1});
    const index_t n = used.shape[0];
    placement_ = {used,
                  view<const std::int32_t, 1>(arrays_[1], "slot_start", {slots.shape[0] + 1}),
                  slots,
                  view<const float, 1>(arrays_[3], "alpha", {n}),
                  view<const float, 2>(arrays_[4], "origin", {n, 2}),
                  view<const std::int32_t, 1>(arrays_[5], "mirror", {n}),
                  view<const float, 1>(arrays_[6], "weight", {n})};
  }

  /// The placement, of which all particles and rows must be there.
  const Placement& of(const Particles& particles, const ClassSums& sums) const {
    const auto& [used, slot_start, slots, alpha, origin, mirror, weight] = placement_;
    const index_t n = used.shape[0];
    for (index_t s = 0; s < slots.shape[0]; ++s)
      require(slots(s) >= 0 && slots(s) < sums.numerator.shape[0] &&
                  (s == 0 || slots(s - 1) < slots(s)),
              "slot: expected ascending rows of the sums");
    for (index_t s = 0; s <= slots.shape[0]; ++s)
      require(slot_start(s) >= (s == 0 ? 0 : slot_start(s - 1)) && slot_start(s) <= n,
              "slot_start: expected ascending positions in order");
    for (index_t i = 0; i < n; ++i)
      require(used(i) >= 0 && used(i) < particles.size(), "order: particle beyond the spectra");
    return placement_;
  }

private:
  std::array<py::array, 7> arrays_;
  Placement placement_;
};

/// Sums of classes in Python's arrays, which are kept alive.
class SumsOfClasses {
public:
  SumsOfClasses(py::array numerator, py::array density, py::array references, double max_radius)
      : numerator_(std::move(numerator)), density_(std::move(density)),
        references_(std::move(references)),
        sums_{view<complex_t, 3>(numerator_, "numerator", {-1, -1, -1}),
              view<float, 3>(density_, "density", {-1, -1, -1}), max_radius},
        slices_(view<const complex_t, 3>(
            references_, "references", {-1, sums_.numerator.shape[1], sums_.numerator.shape[2]})) {
    require(sums_.density.shape == sums_.numerator.shape,
            "density: expected the numerator's shape");
    require(slices_.shape[0] > 0, "references: expected at least one");
  }

  py::tuple add(const Particles& particles, const PlacementArrays& placement, int n_threads) const {
    const Placement& placed = placement.of(particles, sums_);
    const index_t n = placed.order.shape[0], n_shells = sums_.numerator.shape[2];
    std::array<py::array_t<float>, 3> sums;
    std::array<View<float, 2>, 3> views;
    for (std::size_t i = 0; i < 3; ++i) {
      sums[i] = py::array_t<float>({n, n_shells});
      views[i] = view<float, 2>(sums[i], "shells", {n, n_shells});
      std::fill_n(views[i].data, views[i].size(), 0.0f);
    }
    {
      py::gil_scoped_release release;
      accumulate_classes(particles.batch(), placed, slices_, sums_, {views[0], views[1], views[2]},
                         n_threads);
    }
    return py::make_tuple(sums[0], sums[1], sums[2]);
  }

private:
  py::array numerator_, density_, references_;
  ClassSums sums_;
  View<const complex_t, 3> slices_;
};

} // namespace

void bind_class_average(py::module_& m) {
  py::class_<PlacementArrays>(m, "Placement", "How each particle goes into its class.")
      .def(py::init<py::array, py::array, py::array, py::array, py::array, py::array, py::array>(),
           py::kw_only(), py::arg("order"), py::arg("slot_start"), py::arg("slot"),
           py::arg("alpha"), py::arg("origin"), py::arg("mirror"), py::arg("weight"));
  py::class_<SumsOfClasses>(m, "ClassSums", "Sums of particles per class, in place.")
      .def(py::init<py::array, py::array, py::array, double>(), py::arg("numerator"),
           py::arg("density"), py::arg("references"), py::kw_only(), py::arg("max_radius"))
      .def("add", &SumsOfClasses::add, py::arg("particles"), py::arg("placement"), py::kw_only(),
           py::arg("n_threads") = 1,
           "Add particles; sums over shells of |X|^2, Re conj(X) C P and C^2 |P|^2 of each.");
}

} // namespace mapsort::inline MAPSORT_ISA
