"""Boot control on a GPT disk: read it, flip its boot attributes atomically, lay it out, cross-check it."""
