"""What all tests share: the option for golden figures, what counts as slow, and usual signals."""

import signal

import pytest

# Fixtures that start a Prefect server or set up a DVC project: their tests start processes.
SLOW_FIXTURES = {"prefect_server", "empty_project"}

# `nohup` and background jobs of a shell ignore these signals, and so would all processes that tests
# start and end.
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="make the figures of this run the golden ones, instead of comparing with them",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that run DVC or a Prefect server as slow."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
