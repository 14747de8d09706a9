"""Check of the toolkit's keys that a user passes through: known, of the right type, effective, and given once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES, Backend
from erniekit_adapter.backends.key_tables import accepted_keys, type_problem
from erniekit_adapter.backends.settings import RawKey, Settings
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.synonyms import project_key_of

# Keys with other names in the other toolkit, ERNIEKit's first; from both toolkits' key tables.
_RENAMED: tuple[tuple[str, str], ...] = (
    ("virtual_pp_degree", "virtual_pipeline_model_parallel_size"),
    ("expert_parallel_degree", "expert_model_parallel_size"),
    ("sep_parallel_degree", "sep_parallel_size"),
    ("context_parallel_degree", "context_parallel_size"),
    ("use_flash_attention", "_attn_implementation"),
    ("use_attn_mask_start_row_indices", "use_attn_mask_startend_row_indices"),
    ("fuse_rope", "apply_rope_fusion"),
    ("use_sparse_head_and_loss_fn", "use_filtered_label_loss"),
    ("chat_template", "template"),
    ("moe_aux_loss_lambda", "router_aux_loss_coef"),
    ("moe_z_loss_lambda", "router_z_loss_coef"),
)
# Names of other trainers for keys that are not in the project file.
_TOOLKIT_KEYS: Mapping[str, tuple[str, ...]] = {
    "adam_beta": ("adam_beta1",),
    "attn_implementation": ("_attn_implementation", "use_flash_attention"),
    "flash_attn": ("use_flash_attention", "_attn_implementation"),
    "eval_strategy": ("evaluation_strategy",),
    "optimizer": ("optim",),
    "optim_type": ("optim",),
    "sample_packing": ("packing",),
    "neftune_noise": ("neftune_noise_alpha",),
    "resume": ("resume_from_checkpoint",),
    "dataloader_workers": ("dataloader_num_workers",),
}
# Keys that silently change other keys, whose values would then be different.
_CHANGE_OTHERS: Mapping[str, str] = {
    "sharding_degree": "is an old name that changes sharding_parallel_degree",
    "enable_auto_parallel": "replaces all degrees of parallelism",
    "local_rank": "is set by the launcher",
}


def raw_key_problems(
    raw_keys: Iterable[RawKey],
    settings: Settings,
    overwritten: Mapping[str, str],
    backend: Backend,
    version: str,
) -> list[Problem]:
    """Return the problems of the keys that a user passes through.

    Args:
        raw_keys: keys from the user.
        settings: settings from the project and from rules.
        overwritten: keys that the toolkit replaces after reading them, with the source of the new value.
        backend, version: the toolkit.
    """
    known = accepted_keys(version, "train", backend)
    problems: list[Problem] = []
    seen: dict[str, RawKey] = {}
    for raw in raw_keys:
        earlier = seen.setdefault(raw.key, raw)
        if earlier is not raw:
            problems.append(Problem(raw.location, f"is already given by {earlier.location}", "keep one of them"))
        elif raw.key in settings:
            problems.append(_conflict(raw, settings))
        elif raw.key in overwritten:
            hint = _project_hint(raw.key) or "remove it"
            problems.append(Problem(raw.location, f"{TOOLKIT_NAMES[backend]} {overwritten[raw.key]}", hint))
        elif raw.key in _CHANGE_OTHERS:
            problems.append(Problem(raw.location, _CHANGE_OTHERS[raw.key], _project_hint(raw.key) or "remove it"))
        elif raw.key not in known:
            finding = f"{TOOLKIT_NAMES[backend]} {version} has no such key"
            problems.append(Problem(raw.location, finding, _nearest(raw.key, known, settings, overwritten)))
        elif problem := type_problem(raw.location, raw.value, known[raw.key][0]):
            problems.append(problem)
    return problems


def _conflict(raw: RawKey, settings: Settings) -> Problem:
    setting = settings[raw.key]
    finding = f"found {raw.value!r}, and it is already {setting.value!r} by {setting.origin}"
    if setting.keys:
        return Problem(raw.location, finding, f"set {setting.keys[0]} and remove this")
    return Problem(
        raw.location, finding, _project_hint(raw.key) or "remove it: the run would not work without this rule"
    )


def _project_hint(key: str) -> str:
    found = project_key_of(key)
    return f"set {found} in the project file" if found else ""


def _nearest(key: str, known: Mapping[str, object], settings: Settings, overwritten: Mapping[str, str]) -> str:
    """Return a hint for an unknown key: another trainer's name of a project key, a renamed or a misspelt key."""
    if found := _project_hint(key):
        return found
    bare = key.replace("-", "_").lower()
    renamed = [new for old, new in _RENAMED if old == bare] + [old for old, new in _RENAMED if new == bare]
    candidates = [*renamed, *_TOOLKIT_KEYS.get(bare, ())]
    near = [each for each in candidates if each in known] or difflib.get_close_matches(bare, known, n=1, cutoff=0.7)
    if not near:
        return "remove it: it would have no effect"
    if near[0] in settings and settings[near[0]].keys:
        return f"did you mean {near[0]}? set {settings[near[0]].keys[0]} in the project file"
    if near[0] in overwritten and (hint := _project_hint(near[0])):
        return f"did you mean {near[0]}? {hint}"
    return f"did you mean {near[0]}?"
