#include "bindings.hpp"
#include "window.hpp"

#include "mapsort/local_search.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Poses of candidates in Python's arrays, which are kept alive.
class PoseArrays {
public:
  PoseArrays(py::array rotation, py::array origin, py::array cross, py::array norm)
      : arrays_{std::move(rotation), std::move(origin), std::move(cross), std::move(norm)} {
    const auto rotations = view<double, 4>(arrays_[0], "rotation", {-1, -1, 3, 3});
    const index_t n = rotations.shape[0], k = rotations.shape[1];
    require_rotations({rotations.data, {n * k, 3, 3}}, "rotation");
    poses_ = {{},
              rotations,
              view<double, 3>(arrays_[1], "origin", {n, k, 2}),
              view<double, 2>(arrays_[2], "cross", {n, k}),
              view<double, 2>(arrays_[3], "norm", {n, k})};
  }

  /// The poses, of which some are chosen.
  PoseCandidates chosen(const py::array& which) const {
    PoseCandidates candidates = poses_;
    candidates.chosen = view<const std::int32_t, 2>(
        which, "chosen", {poses_.rotation.shape[0], poses_.rotation.shape[1]});
    return candidates;
  }

private:
  std::array<py::array, 4> arrays_;
  PoseCandidates poses_;
};

/// A map to search in, and how.
class PoseSearcher {
public:
  PoseSearcher(const Window& window, py::array ring_weight, double apix,
               const LocalSearchLimits& limits)
      : window_(window), ring_weight_(std::move(ring_weight)),
        weights_(view<const float, 1>(ring_weight_, "ring_weight", {-1})), apix_(apix),
        limits_(limits) {}

  void climb(const py::array& transforms, const py::array& ctf, const PoseArrays& candidates,
             const py::array& chosen, int max_steps, int n_threads) const {
    const auto images = view<const complex_t, 3>(transforms, "transforms", {-1, -1, -1});
    const auto list = candidates.chosen(chosen);
    const index_t n = list.chosen.shape[0];
    require(images.shape[0] == n, "transforms: expected one for each row of the candidates");
    const ImageBatch particles{images, view<const float, 2>(ctf, "ctf", {n, 7}), weights_, apix_};
    LocalSearchLimits limits = limits_;
    limits.max_steps = max_steps;
    py::gil_scoped_release release;
    search_poses(window_.view(), particles, limits, list, n_threads);
  }

private:
  Window window_;
  py::array ring_weight_;
  View<const float, 1> weights_;
  double apix_;
  LocalSearchLimits limits_;
};

} // namespace

void bind_local_search(py::module_& m) {
  py::class_<PoseArrays>(m, "PoseCandidates", "Poses of each particle, where searches begin.")
      .def(py::init<py::array, py::array, py::array, py::array>(), py::arg("rotation"),
           py::arg("origin"), py::arg("cross"), py::arg("norm"));
  py::class_<PoseSearcher>(m, "PoseSearch", "Continuous search for poses in one map.")
      .def(py::init([](const Window& window, py::array ring_weight, double apix, double max_turn,
                       double max_origin, double stiffness) {
             return PoseSearcher(window, std::move(ring_weight), apix,
                                 {.max_steps = 0,
                                  .max_turn = max_turn,
                                  .max_origin = max_origin,
                                  .stiffness = stiffness});
           }),
           py::arg("window"), py::arg("ring_weight"), py::kw_only(), py::arg("apix"),
           py::arg("max_turn"), py::arg("max_origin"), py::arg("stiffness"))
      .def("climb", &PoseSearcher::climb, py::arg("transforms"), py::arg("ctf"),
           py::arg("candidates"), py::kw_only(), py::arg("chosen"), py::arg("max_steps"),
           py::arg("n_threads") = 1,
           "Climb to the best pose about each chosen candidate; fills its arrays in place.");
}

} // namespace mapsort::inline MAPSORT_ISA
