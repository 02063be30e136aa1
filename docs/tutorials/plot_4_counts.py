"""
Counts and moods
================

How often was each song played? First one Poisson regression with the hours of listening as exposure, then a
mixture: the listener has moods, and nobody says which play came from which.
"""

import matplotlib.pyplot as plt
import numpy as np

from hw4opt import Poisson, Problem, Ridge, fit
from hw4opt.mixture import Budget, PoissonMixture, choose_k, make_playlists, simulated_listener
from hw4opt.tables import read_table

table = read_table("../data/songs.csv")
features = np.column_stack([table.numbers("tempo"), table.numbers("mood")])
plays, hours = table.numbers("plays"), table.numbers("hours")

# %%
# One law for all
# ---------------
#
# The log of the exposure is an offset. With ridge 0 this is maximum likelihood; existence of the maximum is settled
# first.

problem = Problem(features, plays, loss=Poisson(), regularizers=[Ridge(0.0)], intercept=True, offset=np.log(hours))
result = fit(problem).raise_for_status()
print("coefficients", np.round(result.coef, 3), "intercept", round(float(result.intercept), 3))
print("standard errors", np.round(result.coefficient_errors().standard_errors, 3))
print("share of the deviance explained", round(result.deviance_explained, 3))

# %%
# Moods
# -----
#
# A simulated listener whose three moods are known.

listener = simulated_listener(seed=0)
mixture = PoissonMixture(k=3, budget=Budget(20, 10)).fit(listener.x, listener.plays)
print("shares of the moods", np.round(mixture.proportions, 3))
print(np.round(mixture.coef, 2))

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
mood = mixture.responsibilities.argmax(axis=1)
for j in range(3):
    axes.semilogy(listener.x[mood == j, 0], listener.plays[mood == j] + 0.5, ".", label=f"mood {j + 1}")
axes.set(xlabel="first feature", ylabel="plays + ½")
axes.legend(frameon=False)

# %%
# A playlist for each
# -------------------

for number, playlist in enumerate(make_playlists(mixture, listener.x, top=5), start=1):
    print("mood", number, "rows", list(playlist.rows))

# %%
# How many moods?
# ---------------

choice = choose_k(PoissonMixture(k=1, budget=Budget(20, 10)), listener.x, listener.plays, range(1, 5))
print({k: round(value, 1) for k, value in choice.values("bic").items()}, "lowest:", choice.best.k)
