"""Named, parameterised functions: the grammar, the registries and what is registered.

A specification with an unknown name or parameter, or a wrong value, is a `ConfigError`; a file that
a parameter names and that cannot be read a `FormatError`.
"""

from __future__ import annotations
