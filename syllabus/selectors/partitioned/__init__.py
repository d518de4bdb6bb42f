"""Selection from more rows than are selected from at once: bounding decides some, RandGreeDi the rest.

`bound` and `rand_greedi` are exported by `syllabus.selectors`.
"""
