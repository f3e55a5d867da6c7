"""Signals as in a terminal: `nohup` and background jobs of a shell have them ignored, and so would
all processes that tests start and end."""

import signal

for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)
