"""Prompts with what their answers are checked by."""

from __future__ import annotations

from typing import Any

from align.data.preferences import asked
from align.data.record import Message, Raw, Record, Unfit, id_of
from align.data.turns import in_order, turns

ANSWERS = ("answer", "ground_truth", "target", "completion", "response")  # of prompts in general, the first there is


def prompts(raw: Raw, place: str) -> Record:
    """Return the prompt of a record, with its answer as a turn where it has one, and its other fields as its task.

    GSM8K (question, answer): task `answer` is what follows ####. MATH (problem, solution): the content of the last
    \\boxed{}. HumanEval (prompt, test, entry_point): the code before the solution is the prompt. Else `prompt`,
    `instruction` or `messages`, with the first of ANSWERS, a string.
    """
    task = {
        name: value for name, value in raw.items() if name not in ("prompt", "messages", "conversations", "instruction")
    }
    if "question" in raw or "problem" in raw:
        question, solution = (raw.get(b, raw.get(a)) for a, b in (("question", "problem"), ("answer", "solution")))
        given = turns([{"role": "user", "content": question}], raw.get("system"))
        task |= {"solution": solution, "answer": final_answer(solution, raw.get("answer"))}
    elif "messages" in raw or "conversations" in raw:
        given = turns(raw.get("messages", raw.get("conversations")), raw.get("system"))
        solution = None
    else:
        given = asked(raw)
        solution = next(
            (raw[name] for name in ("canonical_solution", *ANSWERS) if isinstance(raw.get(name), str)), None
        )
        if "test" in raw and "entry_point" in raw:
            task["prompt"] = raw.get("prompt")  # the tests run on prompt + completion
        elif solution is not None:
            task.setdefault("answer", solution)
        elif isinstance(judged := raw.get("reward_model"), dict) and "ground_truth" in judged:  # verl's
            task["answer"] = judged["ground_truth"]
    if not given:
        raise Unfit("no prompt", f"its fields are {', '.join(map(str, raw))}")
    if isinstance(solution, str) and solution.strip() and given[-1].role != "assistant":
        given = (*given, Message("assistant", solution))
    in_order(given)
    record = Record(id_of(raw, (given,)), place, given, (), {}, task)
    if not record.prompt or record.prompt[-1].role not in ("user", "tool"):
        raise Unfit("no prompt", "no user turn calls for an answer")
    return record


def final_answer(solution: Any, stated: Any = None) -> str:
    """Return what follows the last ####, else what the last \\boxed{} holds, else `stated`, else the whole.

    Raises Unfit where neither is a text or number.
    """
    text = solution if solution is not None else stated
    if not isinstance(text, str | int | float) or not str(text).strip():
        raise Unfit("no answer", "neither answer nor solution is a text")
    text = str(text)
    if "####" in text:
        return text.rpartition("####")[2].strip()
    held = boxed(text)
    if held is not None:
        return held
    return str(stated).strip() if stated is not None else text.strip()


def boxed(text: str) -> str | None:
    """Return what the last \\boxed{...} or \\fbox{...} holds, braces inside it balanced; None where there is none."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[begin:place].strip()
    return None
