"""A folder is listed anew when it has changed, even within one tick of its clock."""

import os
import time

from models.folders import SETTLED_S, Folders


def test_what_comes_and_goes_is_seen(tmp_path):
    folders = Folders()
    assert folders.list(tmp_path / "none").files == () and folders.list(tmp_path).files == ()
    (tmp_path / "b").touch()
    (tmp_path / "none").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "none")
    assert folders.list(tmp_path).files == ("b",) and folders.list(tmp_path).folders == ("a", "none")
    (tmp_path / "b").unlink()
    assert folders.list(tmp_path).files == ()


def test_a_change_within_one_tick_is_seen(tmp_path):
    folders, now = Folders(), time.time_ns()
    os.utime(tmp_path, ns=(now, now))
    assert folders.list(tmp_path).files == ()
    (tmp_path / "new").touch()
    os.utime(tmp_path, ns=(now, now))           # as if the clock of the disk had not moved
    assert not folders.are_same() and folders.list(tmp_path).files == ("new",)


def test_a_folder_that_rests_is_not_listed_again(tmp_path):
    folders, then = Folders(), time.time_ns() - round((SETTLED_S + 1) * 1e9)
    os.utime(tmp_path, ns=(then, then))
    first = folders.list(tmp_path)
    assert folders.are_same() and folders.list(tmp_path) is first
    (tmp_path / "new").touch()
    assert not folders.are_same() and folders.list(tmp_path).files == ("new",)
    assert folders.list(tmp_path / "none").files == ()
    os.utime(tmp_path, ns=(then, then))
    folders.list(tmp_path)
    (tmp_path / "none").mkdir()
    os.utime(tmp_path, ns=(then, then))
    assert not folders.are_same()               # one that was not there is there now


def test_a_folder_that_could_not_be_listed_is_tried_again(tmp_path):
    folders, then = Folders(), time.time_ns() - round((SETTLED_S + 1) * 1e9)
    place = tmp_path / "place"
    place.touch()                               # no folder as yet: listing it fails, as where it may not be read
    os.utime(place, ns=(then, then))
    assert folders.list(place).files == ()
    place.unlink()
    place.mkdir()
    (place / "a").touch()
    os.utime(place, ns=(then, then))            # chmod leaves the time of change as well
    assert folders.list(place).files == ("a",)


def test_what_a_link_leads_to_is_seen_when_its_disk_comes(tmp_path):
    folders, then = Folders(), time.time_ns() - round((SETTLED_S + 1) * 1e9)
    place = tmp_path / "place"
    place.mkdir()
    (place / "usb").symlink_to(tmp_path / "disk")
    (place / "circle").symlink_to(place / "circle")
    os.utime(place, ns=(then, then))
    assert folders.list(place).folders == () and folders.are_same()
    (tmp_path / "disk").mkdir()
    assert folders.list(place).folders == ("usb",) and folders.list(place).files == ("circle",)
