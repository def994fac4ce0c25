"""Types of the module that asks the processor what it can do."""

def instruction_sets() -> list[str]: ...  # best first; always with baseline
