"""What the adapters cost: run from a checkout as ``python -m benchmarks``.

Each module of `SUBJECTS` measures one subject. Nothing here is a test: times depend on the machine,
and what can be carried from one to another are the ratios, between things that were measured in
turns.
"""
