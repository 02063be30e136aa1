"""Playlists: order, ties, standard errors, shares, warnings, files."""

import csv

import numpy as np
import pytest

from hw4opt import InputError
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.listener import simulated_listener
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.playlists import cautions, defining_rows, make_playlists, playlist_path, write_playlists
from hw4opt.mixture.validation import Rows


@pytest.fixture(scope="module")
def result():
    listener = simulated_listener(1)
    return PoissonMixture(3, budget=Budget(24, 40)).fit(listener.x, listener.plays)


def test_songs_are_ranked_by_score_and_ties_by_row(result):
    catalogue = np.random.default_rng(0).integers(-1, 2, size=(60, 3)).astype(float)
    for mood, one in enumerate(make_playlists(result, catalogue, 25)):
        scores = np.column_stack([np.ones(60), catalogue]) @ result.coef[mood]
        assert one.rows.tolist() == sorted(range(60), key=lambda row: (-scores[row], row))[:25]
        assert one.scores == pytest.approx(scores[one.rows])
        assert (np.diff(one.scores) <= 0).all() and (np.diff(one.scores) == 0).any()


def test_scores_carry_the_standard_error_of_a_linear_form(result):
    song = np.array([[0.3, -1.0, 2.0]])
    covariance = result.uncertainty.covariance
    row = np.r_[1.0, song[0]]
    for mood, one in enumerate(make_playlists(result, song, 5)):
        assert len(one.rows) == 1 and one.standard_errors[0] == pytest.approx(np.sqrt(row @ covariance[mood] @ row))


def test_shares_of_the_listening_add_up_and_the_songs_that_define_a_mood_are_its_own(result):
    lists = make_playlists(result, result.design.features[:, 1:], 10)
    assert sum(one.explained for one in lists) == pytest.approx(1)
    for one in lists:
        plays = result.design.counts * result.responsibilities[:, one.mood]
        members = result.labels == one.mood
        assert plays[one.defining].tolist() == sorted(plays[members], reverse=True)[: len(one.defining)]
    assert len(defining_rows(result, 0, 5)) == 5


def test_playlists_that_are_alike_far_out_or_cut_within_a_tie_are_warned_of(result):
    catalogue = np.random.default_rng(0).normal(size=(20, 3))
    said = cautions(result, catalogue, make_playlists(result, catalogue, 19))
    assert sum("nearly the same" in one for one in said) == 3
    said = cautions(result, 20 * catalogue, make_playlists(result, 20 * catalogue, 2))
    assert any("lie far beyond those heard" in one for one in said)
    same = np.zeros((9, 3))
    assert any(
        "cut within 9 songs of one score" in one for one in cautions(result, same, make_playlists(result, same, 4))
    )
    assert not cautions(result, catalogue, make_playlists(result, catalogue, 2))
    assert cautions(result, catalogue[:0], make_playlists(result, catalogue[:0], 2)) == []


def test_a_whole_catalogue_is_not_said_to_be_alike(result):
    catalogue = np.random.default_rng(0).normal(size=(8, 3))
    for top in (8, 20):
        assert not any(
            "nearly the same" in one for one in cautions(result, catalogue, make_playlists(result, catalogue, top))
        )
    assert any("nearly the same" in one for one in cautions(result, catalogue, make_playlists(result, catalogue, 7)))


@pytest.mark.parametrize("level", [8.0, -4.0])
def test_scores_are_held_against_plays_over_their_exposure(level):
    """Plays of a short exposure are few and their scores high; those of a long one are many and their scores low."""
    draw = np.random.default_rng(0)
    x, exposure = draw.normal(size=(150, 1)), np.exp(2.0 - level)
    y = draw.poisson(np.exp(level + 0.5 * x[:, 0]) * exposure).astype(float)
    found = PoissonMixture(1).fit(x, y, Rows(offset=np.full(150, np.log(exposure))))
    assert not cautions(found, x, make_playlists(found, x, 3))
    far = np.array([[15.0], [1.0]])
    (said,) = cautions(found, far, make_playlists(found, far, 1))
    assert f"plays a unit of exposure and the most played song has exp({np.log(y.max() / exposure):.3g})" in said


def test_a_row_of_weight_0_is_no_song_heard():
    listener = simulated_listener(1)
    x, y = np.vstack([listener.x, [[0.0, 0, 0]]]), np.r_[listener.plays, 1e300]
    found = PoissonMixture(1).fit(x, y, Rows(weights=np.r_[np.ones(len(listener.plays)), 0]))
    alone, far = PoissonMixture(1).fit(*listener[:2]), 60 * listener.x
    assert (
        cautions(found, far, make_playlists(found, far, 1)) == cautions(alone, far, make_playlists(alone, far, 1)) != []
    )


def test_files_hold_rank_row_text_score_and_error(result, tmp_path):
    catalogue = np.random.default_rng(3).normal(size=(30, 3))
    lists = make_playlists(result, catalogue, 4)
    paths = write_playlists(tmp_path / "lists", lists, {"song": [f"s, {row}" for row in range(30)]})
    assert [path.name for path in paths] == ["mood_1.csv", "mood_2.csv", "mood_3.csv"]
    for path, one in zip(paths, lists, strict=True):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["rank", "row", "song", "score", "standard_error"]
        assert [int(row["row"]) - 1 for row in rows] == one.rows.tolist() and [row["rank"] for row in rows] == [
            "1",
            "2",
            "3",
            "4",
        ]
        assert [row["song"] for row in rows] == [f"s, {row}" for row in one.rows]
        assert [float(row["score"]) for row in rows] == one.scores.tolist()
        assert [float(row["standard_error"]) for row in rows] == one.standard_errors.tolist()


def test_text_columns_named_as_a_playlists_own_are_written_under_another_name(result, tmp_path):
    names = ["rank", "song", "score", "standard_error", "row", "catalogue_rank", "mood"]
    texts = {name: [f"{name} {row}" for row in range(6)] for name in names}
    lists = make_playlists(result, np.random.default_rng(3).normal(size=(6, 3)), 6)
    with write_playlists(tmp_path, lists, texts)[0].open(newline="") as file:
        header, *rows = list(csv.reader(file))
    own = [
        "catalogue_catalogue_rank",
        "song",
        "catalogue_score",
        "catalogue_standard_error",
        "catalogue_row",
        "catalogue_rank",
        "mood",
    ]
    assert header == ["rank", "row", *own, "score", "standard_error"] and len(set(header)) == len(header)
    assert rows[0][2:-2] == [texts[name][lists[0].rows[0]] for name in names]


def test_scores_that_no_number_holds_are_empty_and_said(tmp_path):
    listener = simulated_listener(1)
    result = PoissonMixture(2, budget=Budget(24, 0)).fit(listener.x * 1e-9, listener.plays)
    catalogue = np.vstack([listener.x[:3] * 1e-9, [[1.7e308, 0, 0], [1.7e308, -1.7e308, 1.7e308]]])
    lists = make_playlists(result, catalogue, 5)
    said = [one for one in cautions(result, catalogue, lists) if "left empty" in one]
    assert said[0].startswith("mood 1: 2 of 5 songs have a feature so large") and len(said) == 2
    assert not any("inf" in one for one in cautions(result, catalogue, lists))
    for path, one in zip(write_playlists(tmp_path, lists, {}), lists, strict=True):
        cells = {int(row["row"]) - 1: row for row in csv.DictReader(path.read_text().splitlines())}
        assert all(cells[row]["score"] == cells[row]["standard_error"] == "" for row in (3, 4))
        assert np.isfinite([float(cells[row]["standard_error"]) for row in range(3)]).all()
        assert "inf" not in path.read_text() and "nan" not in path.read_text() and sorted(one.rows) == list(range(5))


def test_playlists_are_written_all_or_none(result, tmp_path):
    playlist_path(tmp_path, 0).write_text("old")
    playlist_path(tmp_path, 2).mkdir()
    with pytest.raises(InputError, match=r"mood_3\.csv is a folder"):
        write_playlists(tmp_path, make_playlists(result, np.zeros((4, 3)), 2), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mood_1.csv", "mood_3.csv"]
    assert playlist_path(tmp_path, 0).read_text() == "old"


def test_a_wrong_catalogue_is_a_sentence(result):
    with pytest.raises(InputError, match="x has 2 columns and the mixture was fitted to"):
        make_playlists(result, np.zeros((4, 2)), 3)
    with pytest.raises(InputError, match="top is 0"):
        make_playlists(result, np.zeros((4, 3)), 0)
