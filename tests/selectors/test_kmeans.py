"""k-means: a partition that does not depend on anything but vectors, clusters and seed."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import SelectionError, kmeans


@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(1, 120),
    d=st.sampled_from([1, 3, 17]),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_rows_go_to_the_closest_centroid_and_the_smallest_number(kind, n, d, share, seed):
    rows = oracles.planted(kind, n, d, seed)
    clusters = max(1, int(share * n))
    centroids = kmeans.fit(rows, clusters, seed)
    assert centroids.shape == (clusters, d)
    assert centroids.dtype == np.float32
    labels = kmeans.assign(rows, centroids)
    assert labels.dtype == np.int32
    dist = ((rows[:, None].astype(np.float64) - centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(dist[np.arange(n), labels], dist.min(axis=1), rtol=0, atol=1e-14)
    doubled = np.concatenate([centroids, centroids])
    assert kmeans.assign(rows, doubled).tolist() == labels.tolist()


def test_the_same_seed_gives_the_same_centroids_and_another_others():
    rows = oracles.planted("normal", 500, 16, seed=0)
    assert kmeans.fit(rows, 10, 3).tobytes() == kmeans.fit(rows, 10, (3,)).tobytes()
    assert kmeans.fit(rows, 10, 3).tobytes() != kmeans.fit(rows, 10, 4).tobytes()


def test_assignment_of_a_row_does_not_depend_on_the_rows_beside_it():
    rows = oracles.planted("near_ties", 5000, 24, seed=1)
    centroids = kmeans.fit(rows, 40, 0)
    whole = kmeans.assign(rows, centroids)
    parts = [kmeans.assign(part, centroids) for part in np.array_split(rows, 7)]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_scores_rank_the_centroids_of_each_row():
    rows = oracles.planted("normal", 300, 24, seed=1)
    centroids = kmeans.fit(rows, 20, 0)
    labels, scores = kmeans.assign_with_scores(rows, centroids)
    assert labels.tolist() == kmeans.assign(rows, centroids).tolist()
    wide = centroids.astype(np.float64)
    np.testing.assert_allclose(scores, rows @ wide.T - (wide**2).sum(axis=1) / 2, rtol=0, atol=1e-5)


def spread(rows, centroids):
    labels = kmeans.assign(rows, centroids)
    return float(((rows.astype(np.float64) - centroids[labels]) ** 2).sum())


def test_clusters_are_tighter_than_those_around_random_rows():
    rng = np.random.default_rng(2)
    centres = oracles.unit(rng.standard_normal((6, 20)))
    rows = oracles.unit(centres[rng.integers(0, 6, 600)] + 0.05 * rng.standard_normal((600, 20)))
    fitted = spread(rows, kmeans.fit(rows, 12, seed=0))
    assert all(fitted < 0.8 * spread(rows, rows[rng.permutation(600)[:12]]) for _ in range(20))


def test_a_converged_centroid_is_the_mean_of_its_cluster():
    rows = oracles.planted("clusters", 300, 12, seed=3)
    centroids = kmeans.fit(rows, 4, seed=0)
    labels = kmeans.assign(rows, centroids)
    for c in range(4):
        mean = rows[labels == c].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(centroids[c], mean, rtol=0, atol=1e-6)


def test_more_clusters_than_distinct_rows():
    rows = np.repeat(oracles.planted("normal", 3, 5, seed=4), 4, axis=0)
    labels = kmeans.assign(rows, kmeans.fit(rows, 8, seed=0))
    assert len(set(labels.tolist())) == 3
    assert labels.reshape(3, 4).tolist() == [[group[0]] * 4 for group in labels.reshape(3, 4)]


def test_rows_whose_distances_no_float32_holds_are_refused():
    # faiss would end the process.
    rows = np.random.default_rng(6).standard_normal((20, 4)).astype(np.float32)
    rows[7] = [1e38, -1e38, 0, 0]
    with pytest.raises(SelectionError, match=r"kmeans\.fit: row 7 has norm 1\.41e\+38; at most 9e\+18"):
        kmeans.fit(rows, 3, seed=0)
    rows[7:9] = [[8.9e18, 0, 0, 0], [-8.9e18, 0, 0, 0]]
    assert np.isfinite(kmeans.fit(rows, 3, seed=0)).all()


@pytest.mark.gpu
def test_centroids_of_a_gpu_are_as_good_and_rows_are_assigned_alike():
    rows = oracles.planted("clusters", 3000, 32, seed=3)
    here, there = kmeans.fit(rows, 20, seed=0), kmeans.fit(rows, 20, seed=0, device="cuda")
    assert spread(rows, there) == pytest.approx(spread(rows, here), rel=0.05)
    labels, scores = kmeans.assign_with_scores(rows, here, "cuda")
    expected, known = kmeans.assign_with_scores(rows, here)
    assert np.array_equal(labels, expected)
    assert scores == pytest.approx(known, abs=1e-2)


@pytest.mark.parametrize("distinct", [500, 25], ids=["rows", "few distinct rows, so empty clusters"])
def test_clustering_is_that_of_the_wrapper_that_faiss_has(distinct):
    import faiss

    rows = oracles.planted("normal", 500, 12, seed=3)[np.arange(500) % distinct]
    centroids = kmeans.fit(rows, 20, seed=0)
    key = int(kmeans.key_of(kmeans.seed_words(0, "kmeans.fit"), 3)) % 2**31
    means = faiss.Kmeans(12, 20, niter=25, seed=key, min_points_per_centroid=1, max_points_per_centroid=500)
    means.train(rows)
    assert np.array_equal(centroids, means.centroids)


@pytest.mark.filterwarnings("error")
def test_as_many_clusters_as_rows_are_the_rows():
    rows = np.repeat(oracles.planted("normal", 6, 4, seed=0), 2, axis=0)
    assert np.array_equal(kmeans.fit(rows, 12, seed=0), rows)


def test_workers_show_in_no_bit(monkeypatch):
    monkeypatch.setattr(kmeans, "_BLOCK", 70)
    rows = oracles.planted("clusters", 1000, 16, seed=3)
    one = kmeans.fit(rows, 12, seed=0)
    assert all(kmeans.fit(rows, 12, seed=0, workers=workers).tobytes() == one.tobytes() for workers in (2, 5))
