"""The content-addressed store. It keeps bytes, trees, decisions and numbers; it knows nothing of packages or runs.

`schemas/README.md` describes what it writes and why. Everything goes through two calls, tree in
(`intake.ingest`) and tree out (`trees.checkout`), and one primitive, `Backend.create`.
"""
