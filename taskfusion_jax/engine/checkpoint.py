"""Checkpoints: the state, the position in the data, and what is needed to read them again."""

import logging
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from taskfusion_jax.engine import distributed
from taskfusion_jax.engine.files import read_json, write_json
from taskfusion_jax.engine.state import State
from taskfusion_jax.errors import UserError

logger = logging.getLogger(__name__)
_SEAL = "checksums.json"
_PARTIAL = "*.orbax-checkpoint-tmp*"


class Checkpoints:
    """The folder `WORKDIR/checkpoints`: one numbered folder per saved step.

    Each holds the items `state` (arrays), `data` (position of the input pipeline) and `meta`
    (stage and training time), and the checksums of their files. Orbax writes to a temporary name
    and renames, so a step that is there is whole unless the disk damaged it.
    """

    def __init__(
        self, workdir: Path, keep: int, read_only: bool = False, always: Sequence[int] = ()
    ):
        """Opens the folder.

        Args:
          workdir: folder of the run, made if absent.
          keep: how many of the newest steps to keep.
          read_only: change nothing, as another process may be saving here.
          always: steps to keep however old they grow.
        """
        self._read_only = read_only
        self.folder = workdir / "checkpoints"
        managers = ocp.checkpoint_managers
        preserve = managers.AnyPreservationPolicy(
            [managers.LatestN(keep), managers.preservation_policy.CustomSteps(list(always))]
        )
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=preserve,
            read_only=read_only,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        items = ("state", "data", "meta")
        return ocp.CheckpointManager(
            self.folder.absolute(), options=self._options, item_names=items
        )

    @property
    def latest(self) -> int | None:
        """The newest step that is saved, None where none is."""
        return self._manager.latest_step()

    def save(self, state: State, data: dict, meta: dict) -> None:
        """Starts saving in the background; `wait` ends it.

        Raises:
          UserError: this save, or one before that went on in the background, failed.
        """
        step = int(state.step)
        if step == self.latest:
            return
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            data=ocp.args.JsonSave(data),
            meta=ocp.args.JsonSave(meta),
        )
        self._guard(lambda: self._manager.save(step, args=args))

    def wait(self) -> None:
        """Returns once everything is on disk. Raises UserError where that failed."""
        self._guard(self._manager.wait_until_finished)

    def close(self) -> None:
        """Waits for saves in the background and releases all resources."""
        self.wait()
        self._manager.close()

    def _guard(self, save: Callable[[], Any]) -> None:
        """A failed save becomes one line; what was half-written is deleted."""
        try:
            save()
        except Exception as error:
            for partial in self.folder.glob(_PARTIAL) if distributed.is_main() else ():
                shutil.rmtree(partial, ignore_errors=True)
            reason = str(error).strip().splitlines()[0][-120:]  # the cause stands last
            raise UserError(
                f"{self.folder}: saving a checkpoint failed ({reason}); newest whole one: step "
                f"{_newest(self.folder)}; free some disk space and run the same command again"
            ) from error

    def restore(self, abstract: Callable[[dict], State]) -> tuple[State, dict, dict] | None:
        """Restores the newest checkpoint that can be read; sets damaged ones aside and says so.

        Args:
          abstract: from a checkpoint's meta to the shapes and shardings of its state.

        Returns:
          (state, data, meta), or None where there is no checkpoint.
        """
        while newest := distributed.broadcast(str(self.latest or "")):
            step = int(newest)
            damage = distributed.broadcast(self._damage(step) if distributed.is_main() else "")
            if not damage:
                return self._read(step, abstract)
            self._set_aside(step, damage)
        return None

    def read(self, step: int, abstract: State) -> State:
        """The state of one saved step. Raises UserError where it is gone or damaged."""
        damage = distributed.broadcast(self._damage(step) if distributed.is_main() else "")
        if damage:
            raise UserError(
                f"{self.folder / str(step)}, which a stage starts from, cannot be read ({damage}): "
                "start again with another --workdir"
            )
        return self._read(step, lambda meta: abstract)[0]

    def _seal(self) -> None:
        """Adds the checksums of a save just before it gets its final name; in Orbax's thread."""
        if distributed.is_main():
            for folder in self.folder.glob(_PARTIAL):
                write_json(folder / _SEAL, _checksums(folder))

    def _damage(self, step: int) -> str:
        """What is wrong with a step's files; Orbax would take flipped bytes for numbers, and print
        pages about missing files."""
        folder = self.folder / str(step)
        try:
            sealed, found = read_json(folder / _SEAL), _checksums(folder)
        except (OSError, ValueError) as error:
            return str(error).strip().splitlines()[0][:200]
        for name, checksum in sealed.items():
            if found.get(name) != checksum:
                return f"{name} is {'not as written' if name in found else 'missing'}"
        return ""

    def _read(self, step: int, abstract: Callable[[dict], State]) -> tuple[State, dict, dict]:
        args = ocp.args.Composite(data=ocp.args.JsonRestore(), meta=ocp.args.JsonRestore())
        small = self._manager.restore(step, args=args)
        target = ocp.args.StandardRestore(abstract(small.meta))
        state = self._manager.restore(step, args=ocp.args.Composite(state=target)).state
        return state, small.data, small.meta

    def _set_aside(self, step: int, damage: str) -> None:
        if self._read_only:
            raise UserError(
                f"{self.folder / str(step)} cannot be read ({damage}); if the run is training, try "
                "again; else start it again, which sets damaged checkpoints aside"
            )
        damaged = self.folder.parent / "damaged_checkpoints" / str(step)
        self._manager.close()

        def move():
            shutil.rmtree(damaged, ignore_errors=True)
            damaged.parent.mkdir(exist_ok=True)
            (self.folder / str(step)).rename(damaged)

        distributed.on_main(move)
        self._manager = self._open()
        before = f"using step {self.latest} instead" if self.latest else "there is none before it"
        logger.warning(
            "checkpoint %d is damaged (%s); moved to %s; %s", step, damage, damaged, before
        )


def _checksums(folder: Path) -> dict[str, int]:
    """CRC32 of every file of a step's items."""
    files = [path for path in sorted(folder.glob("*/**/*")) if path.is_file()]
    return {str(path.relative_to(folder)): zlib.crc32(path.read_bytes()) for path in files}


def _newest(folder: Path) -> str:
    steps = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.exists() else []
    return str(max(steps)) if steps else "none"
