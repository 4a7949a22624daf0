"""Settings that do not go together, found before any weights are read."""

from __future__ import annotations

from align.config import Config
from align.data.examples import Prompt
from align.errors import AlignSettingsError, DataError
from align.rewards.compose import KINDS, ModelSettings, read
from align.rollout.generator import Sampling
from align.rollout.placement import roles
from align.rollout.sampling import check as check_sampling
from align.rollout.sampling import refuse_biased
from align.run.data import RunData, kind, prompt_of
from align.run.model_reward import weights
from align.run.models import vocabulary

REWARDED = ("ppo", "grpo", "reinforce", "rejection_sampling")  # learn from what earns rewards
WATCHING = (*REWARDED, "steerlm", "spin", "constitutional", "distillation")  # complete prompts, which may be rewarded
AHEAD = ("ppo", "grpo", "reinforce")  # may learn from completions of older weights


def check(config: Config) -> None:
    """Refuse settings that do not go together. Raises AlignSettingsError."""
    settings, given, ranks = config.settings, config.rollouts, config.parallel.ranks
    assert ranks is not None
    if kind(config) == "prompts" or getattr(settings, "on_policy", False):
        _check_completing(config)
    if getattr(settings, "on_policy", 0) and config.data.train_on == "all":
        raise AlignSettingsError(
            "distillation.on_policy completes what comes before the first learnt token; with data.train_on all that is "
            "one token: set data.train_on to assistant or last"
        )
    if config.method in REWARDED and not config.rewards and not getattr(settings, "reward_model", ""):
        raise AlignSettingsError(
            f"{config.method} has nothing to reward completions by: give rewards, a list such as [{{math: {{}}}}]. "
            f"Rewards: {', '.join(KINDS)}"
        )
    _check_numbers(config)
    for one in read(config.rewards):
        if isinstance(one.made, ModelSettings):
            weights(one.made)
    if given.asynchronous and config.method not in AHEAD:
        raise AlignSettingsError(
            f"rollouts.asynchronous is for {', '.join(AHEAD)}, which weigh stale completions; {config.method} does not"
        )
    held = roles(config.placement, ranks, given.asynchronous)
    if given.engine == "megatron" and (apart := set(held["generate"]) - set(held["actor"])):
        raise AlignSettingsError(
            f"rollouts.engine megatron completes prompts with the actor's own weights; placement.generate names rank "
            f"{min(apart)}, which has none: leave the engine to auto"
        )


def _check_numbers(config: Config) -> None:
    """Refuse numbers that another setting bounds, and rewards that nothing asks for."""
    settings, size = config.settings, config.training.global_batch
    drawn = size * getattr(settings, "group_size", 1)
    if getattr(settings, "minibatches", 1) > drawn:
        raise AlignSettingsError(
            f"{config.method}.minibatches is {settings.minibatches}, of {drawn} completions: each holds one at least"
        )
    if (
        config.method == "distillation"
        and settings.teacher
        and settings.top_k > (known := vocabulary(settings.teacher))
    ):
        raise AlignSettingsError(f"distillation.top_k is {settings.top_k}; the teacher knows {known} tokens")
    if config.rewards and config.method not in WATCHING:
        raise AlignSettingsError(f"{config.method} asks for no rewards; {', '.join(WATCHING)} do")


def check_data(config: Config, data: RunData) -> None:
    """Refuse data that a method finds nothing in. Raises DataError, AlignSettingsError."""
    if config.method == "spin" and all(one.gold is None for one in data.everything):
        raise DataError(
            "no record has an answer, which SPIN prefers to the model's own: records are conversations that end with "
            "an assistant's turn"
        )
    if getattr(config.settings, "on_policy", 0) and not any(fits(config, prompt_of(one)) for one in data.everything):
        given = config.rollouts.max_tokens
        raise DataError(
            f"distillation.on_policy: no prompt leaves room for an answer of the student's; model.max_length is "
            f"{config.model.max_length}, rollouts.max_tokens {given}"
        )


def fits(config: Config, prompt: Prompt) -> bool:
    """Tell whether a prompt leaves room for a completion."""
    return len(prompt.tokens) + config.rollouts.max_tokens <= config.model.max_length


def _check_completing(config: Config) -> None:
    """Refuse sampling that completes nothing, or that biases the method."""
    given = config.rollouts
    sampling = Sampling(given.max_tokens, given.temperature, given.top_p, given.top_k)
    check_sampling(sampling)
    refuse_biased(sampling, config.method)
    peft = config.model.peft
    if peft and peft.dropout and config.method in AHEAD:
        raise AlignSettingsError(
            f"model.peft.dropout is {peft.dropout:g}; {config.method} weighs completions by ratios of what the model "
            "gives to what it gave, which dropout would change by itself: set it to 0"
        )
    if peft and peft.kind == "p_tuning":
        raise AlignSettingsError(f"{config.method} completes prompts, which p_tuning's virtual tokens are no part of")
