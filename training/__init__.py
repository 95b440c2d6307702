"""The tuning Job's image: data in, a model tuned, an adapter out.

``download`` fetches what is at URLs; ``examples`` and ``data`` make token ids of rows; ``model`` loads the weights and
``train`` tunes them, which ``launch`` starts, and starts again. Adapters are pushed by ``oci.push``.
"""
