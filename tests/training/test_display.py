from __future__ import annotations

import io

from maskwright.training import StepReport, choose_display
from maskwright.training.display import LiveDisplay, PlainDisplay, SilentDisplay


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _report(step: int) -> StepReport:
    return StepReport(
        step=step,
        losses={"box": 1.0},
        total=float(step),
        learning_rate=0.02,
        grad_norm=1.0,
        seconds=0.5,
        data_seconds=0.125,
        num_images=4,
    )


def test_the_stream_chooses_the_display() -> None:
    assert isinstance(choose_display(stream=io.StringIO()), PlainDisplay)
    assert isinstance(choose_display(stream=_Terminal(), quiet=True), SilentDisplay)
    with choose_display(stream=_Terminal()) as display:
        assert isinstance(display, LiveDisplay)


def test_plain_lines_are_the_first_the_last_and_messages() -> None:
    stream = io.StringIO()
    with PlainDisplay(stream, num_steps=10, every_seconds=1e9) as display:
        for step in range(1, 11):
            display.step(_report(step), step / 10)
            if step == 4:
                display.message("validation: mask AP 0.5")
    first, message, last = stream.getvalue().splitlines()
    assert first == (
        "step 1/10, loss 1, lr 0.02, 8 images/s, 25% waiting for data, time left unknown"
    )
    assert message == "validation: mask AP 0.5"
    assert last.startswith("step 10/10, loss 5.5, ")
    assert last.endswith(", done")


def test_every_line_is_printed_when_it_is_time() -> None:
    stream = io.StringIO()
    with PlainDisplay(stream, every_seconds=0.0) as display:
        for step in (1, 2, 3):
            display.step(_report(step), 0.25 * step)
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step 1", "step 2", "step 3"]
    assert all(line.endswith("0:00 left") for line in lines[1:])


def test_nothing_is_shown_for_no_steps_or_in_silence() -> None:
    stream = io.StringIO()
    with PlainDisplay(stream):
        pass
    with choose_display(stream=stream, quiet=True) as display:
        display.step(_report(1), 1.0)
        display.message("hello")
    assert stream.getvalue() == ""


def test_the_live_bar_shows_the_step_and_keeps_messages() -> None:
    stream = _Terminal()
    with LiveDisplay(stream, num_steps=2) as display:
        display.step(_report(1), 0.5)
        display.message("validation: [mask] AP 0.5")
        display.step(_report(2), 1.0)
    assert "validation: [mask] AP 0.5" in stream.getvalue()
    assert "step 2/2" in stream.getvalue()
