"""Which of a conversation's messages are on the chosen path, and which stand beside them."""

from dataclasses import replace

from ui.history.records import Message

Version = list[Message]         # one message, or a pair of answers


def versions(messages: list[Message]) -> dict[int | None, list[Version]]:
    """What follows each message (None: the start), oldest first. messages in the order of their ids."""
    following: dict[int | None, list[Version]] = {}
    for message in messages:
        beside = following.setdefault(message.parent, [])
        if message.side == "b" and beside and [turn.side for turn in beside[-1]] == ["a"]:
            beside[-1].append(message)
        else:
            beside.append([message])
    return following


def path(messages: list[Message], chosen: dict[int | None, int]) -> list[Message]:
    """From the first turn on, the chosen version of what follows; without a choice the newest. Of a pair both."""
    following = versions(messages)
    turns: list[Message] = []
    at: int | None = None
    while beside := following.get(at):
        place = next((k for k, version in enumerate(beside) if chosen.get(at) in [turn.id for turn in version]),
                     len(beside) - 1)
        version = beside[place]
        turns += [replace(turn, version=place + 1, versions=len(beside)) for turn in version]
        at = _followed(version, chosen.get(at))
    return turns


def end(turns: list[Message], chosen: dict[int | None, int]) -> int | None:
    """The message of a path that the next question follows; None at the start."""
    if not turns:
        return None
    last = [turn for turn in turns[-2:] if turn.parent == turns[-1].parent]
    return _followed(last, chosen.get(last[0].parent))


def _followed(version: Version, chosen: int | None) -> int:
    """The one of a pair that the conversation goes on with: the chosen one, else a."""
    return next((turn.id for turn in version if turn.id == chosen), version[0].id)


def beside(messages: list[Message], message: Message, step: int) -> int:
    """The first message of the version that is step away from message's own, or of the outermost one."""
    among = versions(messages)[message.parent]
    place = next(k for k, version in enumerate(among) if message.id in [turn.id for turn in version])
    return among[min(max(place + step, 0), len(among) - 1)][0].id
