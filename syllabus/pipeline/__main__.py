"""``python -m syllabus.pipeline`` is the console script ``syllabus``."""

from syllabus.pipeline.command_line.entry import main

if __name__ == "__main__":
    main()
