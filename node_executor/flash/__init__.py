"""Flashing: an image travels from its source into the slot that does not run.

``fetch`` brings bytes, ``pump`` keeps them coming while others work, ``target`` is the slot, ``write`` puts the bytes
there in a safe order, ``verify`` reads them back, ``flasher`` is the port. Whether an image is for this kind of node
is not asked here.
"""
