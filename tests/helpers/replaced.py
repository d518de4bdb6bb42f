"""A manifest that is replaced by another."""

from small_manifest import write_small_manifest

from syllabus.manifests import ManifestWriter


def everything(directory):
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def overwrite(target):
    return write_small_manifest(target, seed=2, orders=("balance", "greedy"), overwrite=True)


def before_the_commit(monkeypatch, happens):
    """Have something happen when all parts are written."""
    commit = ManifestWriter.commit
    monkeypatch.setattr(
        ManifestWriter, "commit", lambda self, description: (happens(), commit(self, description))[1]
    )


def beside(target):
    return sorted(path.name for path in target.parent.iterdir() if path.name.startswith("."))
