#pragma once
// Python's Window: a map's Fourier window, kept alive, and how it is read.

#include "arrays.hpp"

#include "mapsort/projection.hpp"

#include <utility> // for std::move

namespace mapsort::inline MAPSORT_ISA {

class Window {
public:
  Window(py::array data, double scale, double oversampling, int width)
      : data_(std::move(data)),
        view_{mapsort::view<const complex_t, 3>(data_, "data", {-1, -1, -1}), width, scale,
              oversampling} {}

  const WindowView& view() const { return view_; }

private:
  py::array data_;
  WindowView view_;
};

} // namespace mapsort::inline MAPSORT_ISA
