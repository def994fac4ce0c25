"""The stages of one iteration: typed input, typed output, no files."""
