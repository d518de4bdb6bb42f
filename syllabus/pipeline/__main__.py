"""``python -m syllabus.pipeline`` is the console script ``syllabus``."""

from syllabus.pipeline.entry import main

if __name__ == "__main__":
    main()
