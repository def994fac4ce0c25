#include "bindings.hpp"
#include "particles.hpp"

#include "mapsort/alignment.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Alignments of candidates in Python's arrays, which are kept alive.
class CandidateArrays {
public:
  CandidateArrays(py::array reference, py::array origin, py::array alpha, py::array mirror,
                  py::array cross, py::array norm)
      : arrays_{std::move(reference), std::move(origin), std::move(alpha),
                std::move(mirror),    std::move(cross),  std::move(norm)} {
    const auto ids = view<const std::int32_t, 2>(arrays_[0], "reference", {-1, -1});
    const Extents<2> shape = ids.shape;
    candidates_ = {ids,
                   view<float, 3>(arrays_[1], "origin", {shape[0], shape[1], 2}),
                   view<float, 2>(arrays_[2], "alpha", shape),
                   view<std::int32_t, 2>(arrays_[3], "mirror", shape),
                   view<float, 2>(arrays_[4], "cross", shape),
                   view<float, 2>(arrays_[5], "norm", shape)};
  }

  /// The candidates, which must be of as many particles as there are.
  const Candidates& of(const Particles& particles) const {
    require(candidates_.reference.shape[0] == particles.size(),
            "reference: expected one row per particle");
    return candidates_;
  }

private:
  std::array<py::array, 6> arrays_;
  Candidates candidates_;
};

/// An Alignment with what it refers to, kept alive.
class Aligner {
public:
  Aligner(py::object bank, py::array ring_weight, bool rotate, bool translate, bool mirror)
      : bank_(std::move(bank)), ring_weight_(std::move(ring_weight)),
        alignment_{bank_.cast<const ReferenceBank&>(),
                   view<const float, 1>(ring_weight_, "ring_weight", {-1}),
                   {.rotate = rotate, .translate = translate, .mirror = mirror}} {
    require(alignment_.ring_weight.shape[0] == alignment_.bank.layout().grid.n_rings,
            "ring_weight: expected one value per ring of the bank");
  }

  py::tuple pairs(const Particles& particles, const py::array& origins, int n_threads) const {
    const auto shifts = view<const float, 2>(origins, "origins", {-1, 2});
    const index_t n = particles.size(), n_references = alignment_.bank.size();
    py::array_t<float> cross({n, n_references}), norm({n, n_references});
    py::array_t<std::int32_t> code({n, n_references});
    const PairResults results{view<float, 2>(cross, "cross", {-1, -1}),
                              view<float, 2>(norm, "norm", {-1, -1}),
                              view<std::int32_t, 2>(code, "code", {-1, -1})};
    {
      py::gil_scoped_release release;
      search_pairs(alignment_, particles.batch(), shifts, results, n_threads);
    }
    return py::make_tuple(cross, norm, code);
  }

  void search(const Particles& particles, const CandidateArrays& candidates,
              const ShiftLattice& lattice, int n_threads) const {
    const Candidates& list = candidates.of(particles);
    py::gil_scoped_release release;
    search_candidates(alignment_, particles.batch(), lattice, list, n_threads);
  }

  void refine(const Particles& particles, const CandidateArrays& candidates, int iterations,
              double max_origin, int n_threads) const {
    const Candidates& list = candidates.of(particles);
    py::gil_scoped_release release;
    refine_candidates(alignment_, particles.batch(), iterations, max_origin, list, n_threads);
  }

private:
  py::object bank_;
  py::array ring_weight_;
  Alignment alignment_;
};

} // namespace

void bind_alignment(py::module_& m) {
  py::class_<Particles>(m, "ParticleBatch", "Particles as the kernels take them.")
      .def(py::init<py::array, py::array, double, double, double>(), py::arg("spectra"),
           py::arg("ctf"), py::kw_only(), py::arg("scale"), py::arg("oversampling"),
           py::arg("apix"))
      .def("__len__", &Particles::size);
  py::class_<CandidateArrays>(m, "Candidates", "References of each particle, and alignments.")
      .def(py::init<py::array, py::array, py::array, py::array, py::array, py::array>(),
           py::arg("reference"), py::arg("origin"), py::arg("alpha"), py::arg("mirror"),
           py::arg("cross"), py::arg("norm"));
  py::class_<ShiftLattice>(m, "ShiftLattice", "Nodes that candidates are searched at.")
      .def(py::init([](double step, int reach, int shared, double max_origin) {
             return ShiftLattice{
                 .step = step, .reach = reach, .shared = shared, .max_origin = max_origin};
           }),
           py::kw_only(), py::arg("step"), py::arg("reach"), py::arg("shared"),
           py::arg("max_origin"));
  py::class_<Aligner>(m, "Alignment", "What particles are compared with, and how.")
      .def(py::init<py::object, py::array, bool, bool, bool>(), py::arg("bank"),
           py::arg("ring_weight"), py::kw_only(), py::arg("rotate") = true,
           py::arg("translate") = true, py::arg("mirror") = true)
      .def("search_pairs", &Aligner::pairs, py::arg("particles"), py::arg("origins"), py::kw_only(),
           py::arg("n_threads") = 1,
           "Best alignment of every particle to every reference: (cross, norm, code).")
      .def("search_candidates", &Aligner::search, py::arg("particles"), py::arg("candidates"),
           py::arg("lattice"), py::kw_only(), py::arg("n_threads") = 1,
           "Search candidates on a lattice around where they stand; fills their arrays in place.")
      .def("refine_candidates", &Aligner::refine, py::arg("particles"), py::arg("candidates"),
           py::kw_only(), py::arg("iterations"), py::arg("max_origin"), py::arg("n_threads") = 1,
           "Newton refinement of (alpha, origin) of the candidates, in place.");
}

} // namespace mapsort::inline MAPSORT_ISA
