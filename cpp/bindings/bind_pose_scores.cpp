#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/pose_scores.hpp"

#include <utility> // for std::move, std::pair

namespace mapsort::inline MAPSORT_ISA {

namespace {

py::array_t<float> scored_poses(const py::array& orders, const py::array& views,
                                const py::array& same) {
  PoseTerms terms{view<const complex_t, 4>(orders, "orders", {-1, -1, -1, -1}), {}, {}};
  const auto [n_orders, n, n_shifts, n_rings] = terms.orders.shape;
  require(n_orders >= 3 && n_shifts >= 1, "orders: expected three, and one shift, at least");
  terms.views = view<const complex_t, 4>(views, "views", {n_orders, -1, n_rings, -1});
  const index_t groups = terms.views.shape[1], n_views = terms.views.shape[3];
  require(groups == 1 || groups == n, "views: expected those of all particles or of each");
  terms.same = view<const float, 3>(same, "same", {n, n_shifts, n_views});
  py::array_t<float> scores({n, n_shifts, 2 * (n_orders - 1), n_views});
  const auto target = view<float, 4>(scores, "scores", {-1, -1, -1, -1});
  py::gil_scoped_release release;
  score_poses(terms, target);
  return scores;
}

std::pair<py::array_t<double>, py::array_t<float>> pose_chances(const py::array& scores,
                                                                float least) {
  const auto source = view<float, 4>(scores, "scores", {-1, -1, -1, -1});
  const auto [n, n_shifts, n_angles, n_views] = source.shape;
  require(n_shifts * n_angles * n_views > 0, "scores: expected a pose at least");
  require(least > -87.0f && least <= 0.0f, "least: expected more than -87, and 0 at most");
  py::array_t<double> top(n);
  py::array_t<float> sums({n, n_shifts, n_views});
  const auto best = view<double, 1>(top, "top", {n});
  const auto of_views = view<float, 3>(sums, "sums", {n, n_shifts, n_views});
  {
    py::gil_scoped_release release;
    chances_of(source, least, best, of_views);
  }
  return {std::move(top), std::move(sums)};
}

py::array_t<complex_t> mixed_poses(const py::array& chances, const py::array& sums,
                                   const py::array& orders, const py::array& seen, bool each) {
  const auto source = view<const float, 4>(chances, "chances", {-1, -1, -1, -1});
  const auto [n, n_shifts, n_angles, n_views] = source.shape;
  const index_t n_orders = n_angles / 2 + 1;
  require(n_angles >= 4 && n_angles % 2 == 0, "chances: expected an even number of angles from 4");
  const PoseMix mix{source, view<const float, 3>(sums, "sums", {n, n_shifts, n_views}),
                    view<const complex_t, 4>(orders, "orders", {n_orders, n, n_shifts, -1}),
                    view<const std::int32_t, 1>(seen, "seen", {-1})};
  for (index_t k = 0; k < mix.seen.size(); ++k)
    require(mix.seen(k) >= 0 && mix.seen(k) < n_views, "seen: expected numbers of views");
  py::array_t<complex_t> mixed(
      {n_orders, each ? n : index_t(1), mix.seen.size(), mix.orders.shape[3]});
  const auto target = view<complex_t, 4>(mixed, "mixed", {-1, -1, -1, -1});
  py::gil_scoped_release release;
  mix_poses(mix, target);
  return mixed;
}

} // namespace

void bind_pose_scores(py::module_& m) {
  m.def("score_poses", &scored_poses, py::kw_only(), py::arg("orders"), py::arg("views"),
        py::arg("same"), "Scores (n, shifts, angles, views) of particles in all poses.");
  m.def("pose_chances", &pose_chances, py::arg("scores"), py::kw_only(), py::arg("least"),
        "Make scores chances, in their place; return top scores (n,) and sums over angles.");
  m.def("mix_poses", &mixed_poses, py::kw_only(), py::arg("chances"), py::arg("sums"),
        py::arg("orders"), py::arg("seen"), py::arg("each") = false,
        "Sums (orders, 1 or n, seen, rings) of particles in some views, by the chances of poses.");
}

} // namespace mapsort::inline MAPSORT_ISA
