"""Writes AgentDojo's tasks as traces: each task's own ground truth, run by the package's own tools.

    python3 extract.py FOLDER [PACKAGE-FOLDER]

FOLDER gets `SUITE.jsonl` (user and injection tasks), `pairs.jsonl` (which user task shows an attacker's words, and where)
and `LICENSE`.
"""
import copy
import importlib.machinery
import json
import pathlib
import re
import sys
import types

VERSION = "v1.2.2"
CLIENTS = {"anthropic", "cohere", "google", "openai"}  # models: no task needs one to run its own ground truth


class Absent(type):
    """Stands for whatever a model's client would have in a place."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(name, (), {})

    def __getitem__(cls, _):
        return cls

    def __or__(cls, _):
        return cls

    __ror__ = __or__

    def __call__(cls, *arguments, **_):
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else cls


class Client(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(name, (), {})


class Clients:
    """Imports a placeholder for a model's client, so that none of them needs to be installed."""

    def find_spec(self, name, *_):
        if name.partition(".")[0] in CLIENTS:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Client(spec.name)

    def exec_module(self, module):
        pass


def canary(vector):
    return f"---CANARY_{vector}---"


def steps(suite, task, injections):
    """Runs a task's ground truth on a fresh environment: (tool, arguments, output) of each call."""
    from agentdojo.agent_pipeline.tool_execution import tool_result_to_str
    from agentdojo.functions_runtime import FunctionsRuntime

    environment = suite.load_and_inject_default_environment(injections)
    if hasattr(task, "init_environment"):
        environment = task.init_environment(environment)
    runtime = FunctionsRuntime(suite.tools)
    for call in task.ground_truth(environment.model_copy(deep=True)):
        arguments = copy.deepcopy(dict(call.args))
        result, _ = runtime.run_function(environment, call.function, call.args, raise_on_error=True)
        yield call.function, json.loads(json.dumps(arguments, default=str)), tool_result_to_str(result)


def trace(suite, task, kind, vectors):
    """One row: what was called, what came back, and where an attacker's words would have stood."""
    plain = list(steps(suite, task, {}))
    marked = list(steps(suite, task, {vector: canary(vector) for vector in vectors}))
    if len(plain) != len(marked):
        raise SystemExit(f"extract.py: {suite.name} {task.ID} takes another way where somebody writes to it")
    calls, seen, first = [], [], None
    for index, ((tool, arguments, output), (_, _, poisoned)) in enumerate(zip(plain, marked)):
        call = {"i": index, "tool": tool, "args": arguments, "output": output}
        found = [vector for vector in vectors if canary(vector) in re.sub(r"\s+", " ", poisoned)]
        if found:
            call |= {"output_canary": poisoned, "canaries": found}
            seen += [vector for vector in found if vector not in seen]
            first = index if first is None else first
        calls.append(call)
    text = task.PROMPT if kind == "user" else task.GOAL
    return {"suite": suite.name, "version": VERSION, "kind": kind, "id": task.ID, "text": text, "calls": calls,
            "injectable_vectors": sorted(seen), "first_exposed_call": first}


def main(folder, package=None):
    if package:
        sys.path.insert(0, package)
    sys.meta_path.insert(0, Clients())
    import agentdojo
    from agentdojo.task_suite.load_suites import get_suites

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for suite in get_suites(VERSION).values():
        vectors = list(suite.get_injection_vector_defaults())
        users = [trace(suite, task, "user", vectors) for task in suite.user_tasks.values()]
        injections = [trace(suite, task, "injection", vectors) for task in suite.injection_tasks.values()]
        with open(folder / f"{suite.name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in users + injections)
        pairs += [
            {"suite": suite.name, "user_task": user["id"], "injection_task": injection["id"],
             "vectors": user["injectable_vectors"], "first_exposed_call": user["first_exposed_call"]}
            for user in users for injection in injections if user["injectable_vectors"]
        ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    around = pathlib.Path(agentdojo.__file__).parent.parent
    licence = next(iter(around.glob("agentdojo-*.dist-info/**/LICENSE*")), None)
    (folder / "LICENSE").write_text(licence.read_text() if licence else "AgentDojo is under the MIT licence.\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
