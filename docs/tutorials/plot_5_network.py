"""
A network
=========

The smallest of the assignment's networks and a convolutional one, on built-in images, in seconds. The same lines
train on CIFAR-10 with ``load("official")``, in minutes to hours. Needs the extra ``nets``.
"""

import matplotlib.pyplot as plt

from hw4nets import Config, Conv, Logistic, build, evaluate, synthetic, train

images = synthetic()
runs = {
    "logistic": (Logistic(), Config(epochs=3, lr=0.01)),
    "convolution": (Conv(M=32, p=5, N=14), Config(epochs=3, lr=0.02, augment="flip,crop:2")),
}

# %%
# ``build`` makes the network with a seed, ``train`` returns its history: a run is a value, and the same seed gives
# the same run.

histories = {}
for name, (shape, config) in runs.items():
    model = build(shape, seed=0)
    histories[name] = train(model, images, config)
    print(name, "test accuracy", round(histories[name].test_accuracy, 3))

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, history in histories.items():
    axes.plot([row.epoch for row in history.rows], [row.test_accuracy for row in history.rows], marker="o", label=name)
axes.set(xlabel="epoch", ylabel="test accuracy", ylim=(0, 1.05), xticks=[1, 2, 3])
axes.legend(frameon=False)

# %%
# A full evaluation of the last network, flips averaged beside it:

evaluation = evaluate(model, images)
print(f"accuracy {evaluation.accuracy:.3f}, flips averaged {evaluation.accuracy_flip:.3f}")
print(evaluation.confusion)
