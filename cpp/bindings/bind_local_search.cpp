#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/local_search.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

void search(const py::array& window, double scale, double oversampling, int width,
            const py::array& transforms, const py::array& ctf, const py::array& ring_weight,
            double apix, const py::array& chosen, const py::array& rotation,
            const py::array& origin, const py::array& cross, const py::array& norm, int max_steps,
            double max_turn, double max_origin, double stiffness, int n_threads) {
  const auto source = view<const complex_t, 3>(window, "window", {-1, -1, -1});
  const auto images = view<const complex_t, 3>(transforms, "transforms", {-1, -1, -1});
  const index_t n = images.shape[0];
  const auto wanted = view<const std::int32_t, 2>(chosen, "chosen", {n, -1});
  const index_t k = wanted.shape[1];
  const PoseCandidates candidates{wanted, view<double, 4>(rotation, "rotation", {n, k, 3, 3}),
                                  view<double, 3>(origin, "origin", {n, k, 2}),
                                  view<double, 2>(cross, "cross", {n, k}),
                                  view<double, 2>(norm, "norm", {n, k})};
  require_rotations({candidates.rotation.data, {n * k, 3, 3}}, "rotation");
  const ImageBatch particles{images, view<const float, 2>(ctf, "ctf", {n, 7}),
                             view<const float, 1>(ring_weight, "ring_weight", {-1}), apix};
  py::gil_scoped_release release;
  search_poses({source, width, scale, oversampling}, particles,
               {max_steps, max_turn, max_origin, stiffness}, candidates, n_threads);
}

} // namespace

void bind_local_search(py::module_& m) {
  m.def("search_poses", &search, py::arg("window"), py::kw_only(), py::arg("scale"),
        py::arg("oversampling"), py::arg("width"), py::arg("transforms"), py::arg("ctf"),
        py::arg("ring_weight"), py::arg("apix"), py::arg("chosen"), py::arg("rotation"),
        py::arg("origin"), py::arg("cross"), py::arg("norm"), py::arg("max_steps"),
        py::arg("max_turn"), py::arg("max_origin"), py::arg("stiffness"), py::arg("n_threads") = 1,
        "Climb to the best pose about each chosen candidate; fills the arrays in place.");
}

} // namespace mapsort::inline MAPSORT_ISA
