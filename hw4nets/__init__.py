"""Networks for CIFAR-10: data, models, training, selection and curves. Needs the extra `hw4opt[nets]`; holds nothing yet."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # only when asked for: the import costs more than this package

        return version("hw4opt")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
