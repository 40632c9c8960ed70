"""How far the training of a level is: kept as a folder that is always whole, and shown as a bar."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import save_file
from tqdm import tqdm

from .levels import VERSION, check_version


@dataclass
class Progress:
    """How far a level is, and what it is being trained on."""

    asked: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    commit: str = ""

    @classmethod
    def load(cls, state: Path, asked: dict[str, Any], data_name: str) -> Progress:
        older = state.with_name(state.name + ".old")
        if not state.exists() and older.exists():  # stopped between the two renames of replace_state
            older.rename(state)
        file = state / "progress.json"
        if not file.exists():
            return cls(asked, commit=commit())
        mend = f"give another --out, or remove {state} to train this level from its beginning"
        try:
            content = dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file} is no state of training ({error}): {mend}") from error
        check_version(file, content.pop("version", None), mend)
        found = cls(**content)
        if found.asked.get("data") == data_name:  # what older states hold, which cannot tell more
            found.asked["data"] = asked["data"]
        changed = [_told(k, found.asked.get(k), v) for k, v in asked.items() if found.asked.get(k) != v]
        if changed:
            raise ValueError(
                f"{state} holds this level trained otherwise ({'; '.join(changed)}): give another --out, or remove it"
            )
        return found


def _told(key: str, before: Any, now: Any) -> str:
    """In words, what differs from what was asked for."""
    if key != "data":
        return f"{key} was {before}, is {now}"
    if re.fullmatch("[0-9a-f]{16}", str(before)):
        return "on other images"
    return f"on images of which it knows the name alone: --data {before}"


def replace_state(accelerator: Accelerator, state: Path, progress: Progress, average: EMAModel) -> None:
    """The state of training as a folder that is always whole: the old one goes when the new one is complete."""
    fresh, older = state.with_name(state.name + ".new"), state.with_name(state.name + ".old")
    try:
        accelerator.save_state(str(fresh / "weights"))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            # not through Accelerate's own checkpoints of custom objects, which are pickled
            save_file({str(i): p for i, p in enumerate(average.shadow_params)}, fresh / "average.safetensors")
            (fresh / "progress.json").write_text(json.dumps({"version": VERSION, **asdict(progress)}), encoding="utf-8")
            shutil.rmtree(older, ignore_errors=True)
            if state.exists():
                os.replace(state, older)
            os.replace(fresh, state)
            shutil.rmtree(older, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap what the disk said
        shutil.rmtree(fresh, ignore_errors=True)
        raise OSError(
            f"the state of training could not be written to {state} ({error}); the older one is unharmed: "
            "is the disk full?"
        ) from error
    accelerator.wait_for_everyone()


def commit() -> str:
    """The commit of this checkout, with ``-dirty`` where files differ from it, or ``unknown``."""
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Bar(tqdm):  # type: ignore[type-arg]
    """How far a training is: in minutes where they limit it, else in steps.

    The total of minutes is less than what may be used where the steps will be done before.
    """

    def __init__(self, steps: int, minutes: float, progress: Progress, desc: str, disable: bool) -> None:
        self._steps, self._minutes, self._timed = steps, minutes, math.isfinite(minutes)
        timed: dict[str, Any] = {
            "total": minutes,
            "initial": progress.seconds / 60,
            "bar_format": "{l_bar}{bar}| {n:.1f}/{total:.1f} min [{elapsed}<{remaining}{postfix}]",
        }
        stepped = {"total": steps, "initial": progress.step}
        super().__init__(desc=desc, disable=disable, **(timed if self._timed else stepped))

    def follow(self, progress: Progress) -> None:
        """Show this progress."""
        told = {"loss": f"{progress.loss:.3f}"} if math.isfinite(progress.loss) else {}
        if self._timed:
            told = {"step": str(progress.step), **told}
            minutes = progress.seconds / 60
            self.total = max(minutes, min(self._minutes, minutes * self._steps / progress.step))
        self.set_postfix(told, refresh=False)
        self.update((minutes if self._timed else progress.step) - self.n)
