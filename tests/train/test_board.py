import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from train.board import Board


def records(folder: Path) -> list[Event]:
    """Everything in a folder's event files, oldest file first."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime):
        data = path.read_bytes()
        while data:
            size = struct.unpack("Q", data[:8])[0]
            found.append(Event.FromString(data[12:12 + size]))
            data = data[16 + size:]
    return found


def test_every_step_is_one_record_with_all_its_numbers(tmp_path: Path):
    board = Board(tmp_path / "tensorboard", 0)
    board.add(1, {"train/loss": 2.5, "train/lr": 0.125})
    board.add(2, {"train/loss": 2.25})
    board.close()
    steps = [event for event in records(tmp_path / "tensorboard") if event.HasField("summary")]
    assert [event.step for event in steps] == [1, 2]
    assert {value.tag: value.simple_value for value in steps[0].summary.value} == {"train/loss": 2.5, "train/lr": 0.125}


def test_a_resumed_run_says_from_where_it_goes_on(tmp_path: Path):
    for start in (0, 7):
        board = Board(tmp_path, start)
        board.add(start + 1, {"train/loss": 1.0})
        board.close()
    starts = [event.step for event in records(tmp_path) if event.HasField("session_log")]
    assert sorted(starts) == [0, 7]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's full disk")
def test_a_full_disk_ends_the_file_and_not_the_run(tmp_path: Path):
    board = Board(tmp_path, 0)
    board._writer._py_recordio_writer._writer = open("/dev/full", "wb")         # noqa: SIM115
    for step in range(1000):
        board.add(step, {"train/loss": 1.0})
    board.close()
    assert board._is_full
