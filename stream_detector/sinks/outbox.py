"""What waits to be published: of each retained topic the newest, of events all that fit."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from stream_detector.errors import OutputError


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a broker."""

    topic: str
    payload: str
    """Empty and retained: whatever the broker kept on this topic goes away."""
    retain: bool


class Outbox:
    """Between the thread that watches and the one that publishes. `put` never waits.

    Retained messages state what is; of two on the same topic only the newer counts, so a slow or absent
    broker gets the newest and not a backlog. Events state what happened; each counts.
    """

    def __init__(self, capacity: int, wake: Callable[[], None]) -> None:
        """Empty.

        Args:
            capacity: the most messages that wait; the oldest give way, and are counted.
            wake: called, from any thread, when there is something new.
        """
        self._capacity = capacity
        self._wake = wake
        self._lock = threading.Lock()
        self._events: deque[tuple[int, Message]] = deque()
        self._states: OrderedDict[str, tuple[int, Message]] = OrderedDict()
        self._kept: dict[str, Message] = {}
        self._order = 0
        self._dropped = 0
        self._error: BaseException | None = None

    @property
    def dropped(self) -> int:
        """How many messages gave way to newer ones; a state that a newer one replaced does not count."""
        with self._lock:
            return self._dropped

    def __len__(self) -> int:
        with self._lock:
            return len(self._events) + len(self._states)

    def put(self, message: Message) -> None:
        """Let `message` wait for its turn.

        Raises:
            OutputError: the thread that publishes has ended with an error.
        """
        with self._lock:
            if self._error is not None:
                raise OutputError(f"publishing has ended: {self._error}") from self._error
            self._order += 1
            if message.retain:
                if message.payload:
                    self._kept[message.topic] = message
                else:
                    self._kept.pop(message.topic, None)
                self._states.pop(message.topic, None)
                self._states[message.topic] = self._order, message
            else:
                self._events.append((self._order, message))
            self._make_room()
        self._wake()

    def take(self) -> Message | None:
        """The message that waited longest; None where none waits."""
        with self._lock:
            state = next(iter(self._states.values()), None)
            if self._events and (state is None or self._events[0][0] < state[0]):
                return self._events.popleft()[1]
            if state is None:
                return None
            del self._states[state[1].topic]
            return state[1]

    def refill(self) -> None:
        """Let everything retained that still holds wait again: the broker may have forgotten it."""
        with self._lock:
            for topic, message in self._kept.items():
                if topic not in self._states:
                    self._order += 1
                    self._states[topic] = self._order, message

    def keeps(self, topic: str) -> bool:
        """Whether something retained on `topic` still holds."""
        with self._lock:
            return topic in self._kept

    def close(self, error: BaseException | None = None) -> None:
        """The thread that publishes has ended; `error` says why."""
        with self._lock:
            self._error = self._error or error

    def _make_room(self) -> None:
        while len(self._events) + len(self._states) > self._capacity:
            if self._events:
                self._events.popleft()
            else:
                self._states.popitem(last=False)
            self._dropped += 1
