"""Steps that a test can look at."""

from dataclasses import dataclass

from engine_build.steps import Steps


@dataclass
class NotedStep:
    """One step, and how far it came."""

    name: str
    total: int | None
    done: int = 0


class NotedSteps(Steps):
    """Remembers every step."""

    def __init__(self) -> None:
        self.steps: list[NotedStep] = []

    def begin(self, name: str, total: int | None = None) -> None:
        self.steps.append(NotedStep(name, total))

    def advance(self, count: int = 1) -> None:
        self.steps[-1].done += count

    @property
    def names(self) -> list[str]:
        return [step.name for step in self.steps]

    def assert_each_came_to_its_end(self) -> None:
        """Every step whose length was known did just as much."""
        assert [step for step in self.steps if step.total not in (None, step.done)] == []
