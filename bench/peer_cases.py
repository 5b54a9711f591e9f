"""Our rules on the test cases of other graders, read from their sources on this machine.

    git clone https://github.com/huggingface/Math-Verify …      # and the others
    python bench/peer_cases.py --math-verify …/Math-Verify --lighteval …/lighteval \
        --inspect …/inspect_ai --helm …/helm --mario …/MARIO_EVAL \
        --drop …/allennlp-reading-comprehension

Only literal cases are read: a truth, a prediction, right or wrong. Nothing of these repositories is
imported or executed. A pair that an earlier suite has is left out. The labels are the peers': some
hold only for the option under test (a grader that takes any number of a text for the answer), and a
few pairs have both labels, each under another option.

`--out FOLDER` writes the cases as JSON lines; `--show` prints what the first grader gets wrong.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graders import GRADERS, Grader


@dataclass(frozen=True)
class Case:
    question: str
    answer: str
    prediction: str
    expected: int


UNKNOWN = object()
"""Stands for what is not a literal, such as an option of the grader under test."""


def literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple | ast.List):
        return [literal(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of `name` or of a method `name`, in the order of the text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            found = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if found == name:
                yield node


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def parametrized(tree: ast.AST) -> Iterator[Case]:
    """Rows of `parametrize("gold,pred,…,expected", [...])`."""
    for call in calls(tree, "parametrize"):
        values = [literal(argument) for argument in call.args[:2]]
        if len(values) < 2 or not isinstance(values[0], str) or values[1] is UNKNOWN:
            continue
        names = [name.strip() for name in values[0].split(",")]
        label = next((name for name in ("expected", "result") if name in names), None)
        if label is None or not {"gold", "pred"} <= set(names):
            continue
        for row in values[1]:
            case = dict(zip(names, row, strict=True))
            yield Case("", case["gold"], case["pred"], int(case[label]))


def math_verify(root: Path) -> Iterator[Case]:
    for path in sorted((root / "tests").glob("test_*.py")):
        yield from parametrized(parsed(path))


def lighteval(root: Path) -> Iterator[Case]:
    """The extractive match, and the cases of GPQA, DROP and exact match kept as JSON."""
    folder = root / "tests" / "unit" / "metrics"
    yield from parametrized(parsed(folder / "test_extractive_match.py"))
    for name, score in (
        ("gpqa_instruct_metric", "extractive_match"),
        ("drop", "em"),
        ("exact_match", "em"),
    ):
        suite = json.loads((folder / "test_cases" / f"{name}.json").read_text(encoding="utf-8"))
        for case in suite["test_cases"]:
            document, replies = case["doc"], case["model_response"]["text"]
            index = document["gold_index"]
            if isinstance(index, int) and len(replies) == 1 and score in case["expected_output"]:
                right = case["expected_output"][score]
                if right in (0, 1):
                    answer = document["choices"][index]
                    yield Case(document["query"], answer, replies[0], int(right))


def inspect_ai(root: Path) -> Iterator[Case]:
    """The scorers math, match (numbers), answer and exact."""
    folder = root / "tests" / "scorer"
    for case in json.loads((folder / "math_cases.json").read_text(encoding="utf-8")):
        yield Case("", case["target"], case["output"], int(case["expected"] == "C"))
    for name in ("test_math", "test_match", "test_answer", "test_classification"):
        for function in functions(parsed(folder / f"{name}.py")):
            yield from _scored(function)
    for function in functions(parsed(folder / "test_math.py")):
        yield from _scored_rows(function)


def _scored(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Case]:
    """One output, one target, one assertion; and rows of (model_output, target).

    NOANSWER says that the scorer wants another form, and a patched scorer says nothing of the pair.
    """
    outputs = [
        literal(keyword.value)
        for call in calls(function, "simple_task_state")
        for keyword in call.keywords
        if keyword.arg == "model_output"
    ]
    targets = [literal(call.args[0]) for call in calls(function, "Target") if call.args]
    marks = [
        node.id
        for assertion in ast.walk(function)
        if isinstance(assertion, ast.Assert)
        for node in ast.walk(assertion)
        if isinstance(node, ast.Name) and node.id in ("CORRECT", "INCORRECT", "NOANSWER")
    ]
    if len(outputs) != 1 or len(marks) != 1 or marks == ["NOANSWER"] or _is_patched(function):
        return
    right = int(marks[0] == "CORRECT")
    if isinstance(outputs[0], str):
        for target in targets[:1]:
            answers = target if isinstance(target, list) else [target]
            if len(answers) == 1 and isinstance(answers[0], str):
                yield Case("", answers[0], outputs[0], right)
    for decorator in function.decorator_list:
        for call in calls(decorator, "parametrize"):
            names, rows = literal(call.args[0]), literal(call.args[1])
            if names == "model_output,target":
                yield from (Case("", target, output, right) for output, target in rows)


def _is_patched(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return "monkeypatch" in {argument.arg for argument in function.args.args}


def _scored_rows(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Case]:
    """`parametrize("answer,target", rows)` with one status that all rows must have."""
    marks = [
        literal(node.comparators[0]) for node in ast.walk(function) if isinstance(node, ast.Compare)
    ]
    if marks not in (["correct"], ["incorrect"]):
        return
    for decorator in function.decorator_list:
        for call in calls(decorator, "parametrize"):
            names, rows = literal(call.args[0]), literal(call.args[1])
            if names in ("answer,target", ["answer", "target"]):
                right = int(marks == ["correct"])
                yield from (Case("", target, answer, right) for answer, target in rows)


def helm(root: Path) -> Iterator[Case]:
    """`assert final_number_exact_match(gold, prediction) == 1` and the other matches."""
    path = root / "src/helm/benchmark/metrics/test_evaluate_reference_metrics.py"
    for name in ("exact_match", "exact_match_indicator", "final_number_exact_match"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Compare) and (call := _called(node, name)):
                gold, prediction = map(literal, call.args)
                yield Case("", gold, prediction, int(literal(node.comparators[0])))


def _called(node: ast.Compare, name: str) -> ast.Call | None:
    """The call of `name` on the left of a comparison."""
    call = node.left
    named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name
    return call if isinstance(call, ast.Call) and named else None


def drop(root: Path) -> Iterator[Case]:
    """`assert get_metrics([prediction], [gold]) == (exact match, F1)`, single spans only."""
    for node in ast.walk(parsed(root / "tests" / "eval" / "drop_eval_test.py")):
        if isinstance(node, ast.Compare) and (call := _called(node, "get_metrics")):
            values = [*call.args, *(keyword.value for keyword in call.keywords)]
            prediction, gold = (literal(value) for value in values)
            if len(prediction) == len(gold) == 1 and isinstance(gold, list):
                right = literal(node.comparators[0])[0]
                yield Case("", gold[0], prediction[0], int(right))


def mario(root: Path) -> Iterator[Case]:
    """`test_in`, `test_out` and the assertion after them; lists of pairs in the same way."""
    path = root / "math_evaluation" / "tests" / "test_is_equiv.py"
    for function in functions(parsed(path)):
        values: dict[str, Any] = {}
        for statement in function.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                values[statement.targets[0].id] = literal(statement.value)
            label = _asserted(statement)
            if label is None:
                continue
            pairs = values.get("test_pairs")
            if isinstance(statement, ast.For) and isinstance(pairs, list):
                yield from (Case("", gold, said, label) for gold, said in pairs)
            elif "test_in" in values:
                yield Case("", values["test_in"], values["test_out"], label)


def _asserted(statement: ast.stmt) -> int | None:
    for name, label in (("assertTrue", 1), ("assertFalse", 0)):
        if any(True for _ in calls(statement, name)):
            return label
    return None


SUITES: dict[str, Callable[[Path], Iterator[Case]]] = {
    "math-verify": math_verify,
    "lighteval": lighteval,
    "inspect": inspect_ai,
    "helm": helm,
    "drop": drop,
    "mario": mario,
}


def unique(cases: Iterator[Case], seen: set[tuple[str, str]]) -> list[Case]:
    """Without the pairs in `seen`, to which it adds. A suite's own repetitions stay."""
    found = [case for case in cases if UNKNOWN not in (case.answer, case.prediction)]
    kept = [case for case in found if (case.answer, case.prediction) not in seen]
    seen.update((case.answer, case.prediction) for case in found)
    return kept


def counts(grader: Grader, cases: list[Case]) -> Counter[str]:
    """right, F1 (false 1), F0 (false 0), None1 and None0 (cannot tell, where 1 or 0 is right)."""
    found: Counter[str] = Counter()
    for case in cases:
        said = grader(case.question, case.answer, case.prediction)
        if said is None:
            found[f"None{case.expected}"] += 1
        elif said == bool(case.expected):
            found["right"] += 1
        else:
            found["F1" if said else "F0"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    for name in SUITES:
        parser.add_argument(f"--{name}", type=Path, help="folder of the sources")
    parser.add_argument("--out", type=Path, help="write the cases here, one file per suite")
    parser.add_argument("--graders", nargs="+", choices=GRADERS, default=list(GRADERS))
    parser.add_argument(
        "--show", action="store_true", help="print what the first grader gets wrong"
    )
    arguments = vars(parser.parse_args())

    seen: set[tuple[str, str]] = set()
    suites = {
        name: unique(read(root), seen)
        for name, read in SUITES.items()
        if (root := arguments[name.replace("-", "_")])
    }
    if not suites:
        parser.error("expected the folder of at least one suite")
    if out := arguments["out"]:
        out.mkdir(parents=True, exist_ok=True)
        for name, cases in suites.items():
            lines = [json.dumps(asdict(case), ensure_ascii=False) + "\n" for case in cases]
            (out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    graders = {name: grader for name in arguments["graders"] if (grader := GRADERS[name]())}
    print(f"| right/F1/F0/None 1 + None 0 | n | {' | '.join(graders)} |")
    print(f"|---|---|{'---|' * len(graders)}")
    for name, cases in suites.items():
        cells = []
        for grader in graders.values():
            c = counts(grader, cases)
            cells.append(f"{c['right']}/{c['F1']}/{c['F0']}/{c['None1']}+{c['None0']}")
        print(f"| {name} | {len(cases)} | {' | '.join(cells)} |", flush=True)
    if arguments["show"]:
        ours = next(iter(graders.values()))
        for name, cases in suites.items():
            for case in cases:
                said = ours(case.question, case.answer, case.prediction)
                if said is None or said != bool(case.expected):
                    print(name, said, json.dumps(asdict(case), ensure_ascii=False))


if __name__ == "__main__":
    main()
