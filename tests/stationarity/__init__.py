"""Do the samplers have the law they promise? Each is run through MXNet's optimizer protocol and held against
exact answers (:mod:`.theory`), a float64 transcription of its equations (:mod:`.transcription`), and mutants of
itself that the same checks must reject.
"""
