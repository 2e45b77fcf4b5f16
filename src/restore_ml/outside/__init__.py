"""What other tools made: test inputs written for them, their outputs taken in as a run of kind `outside`.

Such a run is scored, compared and shown as any other. It has no model: nothing of it is trained, promoted, served,
exported or used for a person's pictures.
"""
