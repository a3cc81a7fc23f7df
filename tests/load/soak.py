"""Everything at random for minutes; a seed gives the same actions in the same order."""
from __future__ import annotations

import actions
from cases import ONE_LISTENER, TWO_LISTENERS
from trial import Case, Trial

# How often each is drawn, beside the others.
WEIGHTS = {
    actions.reload: 4,
    actions.reload_config: 4,
    actions.broken_reload: 2,
    actions.kill_in_reload: 3,
    actions.kill_worker: 4,
    actions.kill_all_workers: 1,
    actions.kill_gateway: 2,
    actions.kill_arbiter: 1,
    actions.scale: 3,
    actions.ctl_scale: 3,
    actions.ctl_kill: 2,
    actions.hang: 2,
}
GROWTH = 8  # descriptors that a process may hold more than at the start


async def _act(trial: Trial) -> None:
    while trial.goes_on:
        await trial.pause(0.5, 8)
        (action,) = trial.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        await action(trial)
        trial.count[action.__name__.replace("_", "-")] += 1
    before = trial.descriptors
    await trial.clients.stop()
    after = trial.server.descriptors()
    for name, count in after.items():
        trial.expect(
            count <= before[name] + GROWTH,
            f"the {name} had {before[name]} descriptors at the start and has {count} at the end",
        )


SOAK = Case(
    "soak", "everything at random", _act,
    ("--max-requests", "3000", "--max-requests-jitter", "2000", "--max-lifetime", "45",
     "--timeout", "3"),
    configs=(ONE_LISTENER, TWO_LISTENERS), pool="web", prefixes=("", "/changed"), leavers=4,
)  # fmt: skip
