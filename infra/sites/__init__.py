"""The sites of a project: their stack files, their exported facts, and what follows from them without an engine."""
