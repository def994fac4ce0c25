#pragma once
// Argument checks: "argument: expected ..., got ..." -> std::invalid_argument (ValueError in
// Python).

#include <stdexcept> // for std::invalid_argument
#include <string>    // for std::string

namespace mapsort {

inline void require(bool holds, const std::string& message) {
  if (!holds) [[unlikely]]
    throw std::invalid_argument(message);
}

} // namespace mapsort
