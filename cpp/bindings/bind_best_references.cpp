#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/best_references.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

py::tuple best(const py::array& scores, const py::array& codes, index_t first, index_t last,
               index_t k, int n_threads) {
  const auto score = view<const float, 2>(scores, "scores", {-1, -1});
  const auto code = view<const std::int32_t, 2>(codes, "codes", score.shape);
  require(k >= 0, "k: expected at least 0");
  py::array_t<std::int32_t> reference({score.shape[0], k}), code_kept({score.shape[0], k});
  const auto references = view<std::int32_t, 2>(reference, "reference", {-1, -1});
  const auto codes_kept = view<std::int32_t, 2>(code_kept, "code_kept", {-1, -1});
  {
    py::gil_scoped_release release;
    best_references(score, code, first, last, references, codes_kept, n_threads);
  }
  return py::make_tuple(reference, code_kept);
}

} // namespace

void bind_best_references(py::module_& m) {
  m.def("best_references", &best, py::arg("scores"), py::arg("codes"), py::kw_only(),
        py::arg("first"), py::arg("last"), py::arg("k"), py::arg("n_threads") = 1,
        "(reference, code): the k best references of each particle, the best one first.");
}

} // namespace mapsort::inline MAPSORT_ISA
