#pragma once
// Argument checks: "argument: expected ..., got ..." -> std::invalid_argument (ValueError in
// Python).

#include <concepts>  // for std::invocable
#include <stdexcept> // for std::invalid_argument

namespace mapsort {

inline void require(bool holds, const char* message) {
  if (!holds) [[unlikely]]
    throw std::invalid_argument(message);
}

/// The same for messages that must be put together: `message` is called only for a failure.
template <std::invocable Message> void require(bool holds, const Message& message) {
  if (!holds) [[unlikely]]
    throw std::invalid_argument(message());
}

} // namespace mapsort
