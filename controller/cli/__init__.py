"""osctl: the command line of MaticOS Fleet. It knows only ``shared``, and decides nothing.

Rules:
- One command per function, one noun per file. ``tree`` lists all of them without importing any, so that help is fast.
- Text for people goes through ``render``; ``-o json`` prints the answer's message field by field (``output``).
- Answers go to stdout; errors, with cause and cure, to stderr. Only ``exits`` knows exit codes.
"""
