#!/usr/bin/env python3
"""Networks that PyTorch exports, against what PyTorch computes.

    /usr/bin/python3 tests/zoo/zoo.py [NAME ...]        # names or parts of names; default: all
    /usr/bin/python3 tests/zoo/zoo.py --list
    /usr/bin/python3 tests/zoo/zoo.py --table docs/zoo.md

Every network gets random weights of a fixed seed, is run by torch on one or more sets of inputs,
exported to ONNX, converted with `espy convert`, and run on all sets through one session. Nothing is
downloaded. Not a part of ./check: it takes long, and needs Debian's python3-torch,
python3-torchvision and python3-onnx, which nothing else does.

`spread` is how much the outputs of two inputs differ, as `error` is measured: a network whose
output hardly depends on its input would agree with anything. `onnxruntime`, with --ort FOLDER (of
node_modules, with onnxruntime-node), is what that makes of the same file where Espy disagrees with
torch: exporters err as well.
"""
import argparse
import copy
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
import traceback
import warnings

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOLERANCE = {"float16": 2e-2, "uint16": 2e-2}  # uint16 holds bfloat16


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--exact", action="store_true", help="names are whole names")
    parser.add_argument("--build", default=os.path.join(ROOT, "build-ci"))
    parser.add_argument("--work", default=None, help="folder for files; default BUILD/zoo")
    parser.add_argument("--device")
    parser.add_argument("--keep", action="store_true", help="keep files, reuse exports")
    parser.add_argument("--ort", help="node_modules with onnxruntime-node")
    parser.add_argument("--timeout", type=int, default=600, help="seconds per step")
    parser.add_argument("--results", help="JSON lines to append to; names in it are not run again")
    parser.add_argument("--table", help="write the table of --results or of this run there")
    options = parser.parse_args()
    options.work = options.work or os.path.join(options.build, "zoo")
    return options


# ---- torch, in a child ----------------------------------------------------------------------------


def flatten(value):
    import torch
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (int, float, bool)):
        return [torch.tensor(value)]
    return [tensor for part in value for tensor in flatten(part)] if value is not None else []


def to_numpy(tensor):
    import torch
    if tensor.dtype == torch.bfloat16:
        return (tensor.float().numpy().view(np.uint32) >> 16).astype(np.uint16)
    return tensor.detach().cpu().numpy()


def truth(case, module, sets):
    """What torch makes of the sets; rounded from float64 where a case says so."""
    import torch
    found = []
    exact = copy.deepcopy(module) if case.double else module
    if case.half:  # the weights and inputs that the file has, computed in float64
        exact = exact.half()
        sets = [tuple(t.half() for t in inputs) for inputs in sets]
    exact = exact.double() if case.double else exact
    for inputs in sets:
        if case.double:
            inputs = tuple(t.double() for t in inputs)
        with torch.no_grad():
            found.append(flatten(exact(*inputs)))
    if case.double:
        kind = next(module.parameters()).dtype
        found = [[t.to(kind) if t.is_floating_point() else t for t in outputs]
                 for outputs in found]
    return [[to_numpy(t) for t in outputs] for outputs in found]


def export(case, folder):
    """Writes model.onnx and, per set, the inputs and what torch makes of them."""
    import torch
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(case.seed)
    module = case.build()
    sets = case.inputs()
    expected = truth(case, module, sets)
    path = os.path.join(folder, "model.onnx")
    names = [f"in{i}" for i in range(len(flatten(sets[0])))]
    torch.onnx.export(module, sets[0], path, opset_version=case.opset, input_names=names,
                      dynamic_axes=case.dynamic, do_constant_folding=case.folding,
                      custom_opsets=None)
    import onnx
    graph = onnx.load(path, load_external_data=False).graph
    if case.half:
        from zoo_half import rewrite
        graph = rewrite(path)
        sets = [tuple(t.half() for t in inputs) for inputs in sets]
        expected = [[e.astype(np.float16) for e in outputs] for outputs in expected]
    present = {value.name for value in graph.input}
    job = {"nodes": len(graph.node), "sets": [],
           "outputs": [value.name for value in graph.output]}
    for index, (inputs, outputs) in enumerate(zip(sets, expected)):
        here = os.path.join(folder, str(index))
        os.makedirs(os.path.join(here, "expected"), exist_ok=True)
        files = {}
        for name, tensor in zip(names, flatten(inputs)):
            if name in present:
                files[name] = os.path.join(here, name + ".npy")
                np.save(files[name], to_numpy(tensor))
        for i, output in enumerate(outputs):
            np.save(os.path.join(here, "expected", f"{i}.npy"), output)
        job["sets"].append({"inputs": files, "outputs": os.path.join(here, "espy"),
                            "expected": os.path.join(here, "expected"), "count": len(outputs)})
    with open(os.path.join(folder, "job.json"), "w") as file:
        json.dump(job, file)


def child(case, folder, pipe):
    try:
        export(case, folder)
        pipe.send("")
    except Exception as error:  # Whatever torch raises is the answer: this is not exported.
        if os.environ.get("ZOO_TRACE"):
            traceback.print_exc()
        text = str(error).strip().splitlines()
        pipe.send(f"{type(error).__name__}: {text[0] if text else ''}"[:300])


def export_apart(case, folder, options):
    """Exports in a process of its own, forked so that torch is there already. Returns an error."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(case, folder, there))
    process.start()
    there.close()
    try:
        error = here.recv() if here.poll(options.timeout) else "the export takes too long"
    except EOFError:
        error = "the export ends without a word"
    if process.is_alive() and error.startswith("the export"):
        process.kill()
    process.join()
    return error


# ---- in the parent ------------------------------------------------------------------------------


def run(command, options, **more):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=options.timeout,
                              **more)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"took over {options.timeout} s")


def relative(actual, expected):
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    difference = np.where(same, 0, actual - expected)
    if not np.all(np.isfinite(difference)):
        return float("inf")
    norm = np.linalg.norm(np.where(np.isfinite(expected), expected, 0))
    return float(np.linalg.norm(difference) / (norm if norm else 1))


def load(folder, count):
    paths = [os.path.join(folder, f"{i}.npy") for i in range(count)]
    return [np.load(path) for path in paths]


def compare(case, actual, expected):
    """Returns the largest error and a word on what is wrong, if anything."""
    if len(actual) != len(expected):
        return float("inf"), f"{len(actual)} outputs, not {len(expected)}"
    if case.compare:
        return case.compare(actual, expected)
    worst = 0.0
    for i, (a, e) in enumerate(zip(actual, expected)):
        if e.dtype == np.uint16 and a.dtype == np.float32:
            e = (e.astype(np.uint32) << 16).view(np.float32)
        if a.shape != e.shape:
            return float("inf"), f"output {i}: shape {a.shape}, not {e.shape}"
        if a.dtype != e.dtype and not (e.dtype == np.float64 and a.dtype == np.float32):
            return float("inf"), f"output {i}: {a.dtype}, not {e.dtype}"
        worst = max(worst, relative(a, e))
    return worst, ""


def onnxruntime(folder, job, options):
    script = os.path.join(HERE, "onnxruntime.cjs")
    done = run(["node", script, options.ort, folder], options)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["failed"])[-1][:200]
    sets = []
    for index, one in enumerate(job["sets"]):
        outputs = []
        with open(os.path.join(folder, f"ort{index}.json")) as file:
            for i, info in enumerate(json.load(file)):
                raw = os.path.join(folder, f"ort{index}_{i}.bin")
                dtype = {"float16": "uint16", "bfloat16": "uint16"}.get(info["type"], info["type"])
                array = np.fromfile(raw, dtype=dtype)
                if info["type"] == "float16":
                    array = array.view(np.float16)
                outputs.append(array.reshape(info["dims"]))
        sets.append(outputs)
    return sets, ""


def second_opinion(case, folder, job, actual, options):
    sets, message = onnxruntime(folder, job, options)
    if sets is None:
        return None, "onnxruntime refuses: " + message
    error = max(compare(case, a, o)[0] for a, o in zip(actual, sets))
    return error, f"onnxruntime differs from Espy by {error:.1e}"


def examine(case, options):
    folder = os.path.join(options.work, case.name)
    os.makedirs(folder, exist_ok=True)
    row = {"name": case.name, "opset": case.opset, "status": "ok", "note": ""}
    job_path = os.path.join(folder, "job.json")
    if not (options.keep and os.path.exists(job_path)):
        error = export_apart(case, folder, options)
        if error:
            return dict(row, status="no export", note=error)
    with open(job_path) as file:
        job = json.load(file)
    row["nodes"] = job["nodes"]
    model = os.path.join(folder, "model.espy")
    start = time.monotonic()
    done = run([os.path.join(options.build, "tools", "espy"), "convert",
                os.path.join(folder, "model.onnx"), "-o", model], options)
    row["convert"] = time.monotonic() - start
    if done.returncode:
        status = "refused" if done.returncode == 1 else f"convert: {done.returncode}"
        return dict(row, status=status, note=" | ".join(done.stderr.strip().splitlines())[:600])
    job.update(model=model, library=os.path.join(options.build, "libespy.so"),
               device=options.device)
    with open(os.path.join(folder, "run.json"), "w") as file:
        json.dump(job, file)
    done = run([sys.executable, os.path.join(HERE, "espy_library.py"),
                os.path.join(folder, "run.json")], options)
    if done.returncode:
        return dict(row, status=f"crash {done.returncode}", note=done.stderr.strip()[-300:])
    measured = json.loads(done.stdout)
    if "error" in measured:
        return dict(row, status="run failed", note=measured["error"])
    return judge(case, folder, job, measured, row, options)


def judge(case, folder, job, measured, row, options):
    row["first"] = max(r["first_seconds"] for r in measured["runs"])
    row["run"] = max(r["seconds"] for r in measured["runs"])
    row["host"] = max(r["host_nodes"] for r in measured["runs"])
    row["segments"] = any(r["data_dependent"] for r in measured["runs"])
    row["sets"] = len(job["sets"])
    count = len(job["outputs"])
    actual = [load(one["outputs"], count) for one in job["sets"]]
    expected = [load(one["expected"], one["count"]) for one in job["sets"]]
    if all(e == [] for e in expected):
        return dict(row, status="no outputs")
    results = [compare(case, a, e) for a, e in zip(actual, expected)]
    row["error"] = max(error for error, _ in results)
    notes = [f"set {i}: {note}" for i, (_, note) in enumerate(results) if note]
    row["spread"] = spread(expected)
    types = {str(e.dtype) for outputs in expected for e in outputs}
    tolerance = case.tolerance or max([1e-4] + [TOLERANCE.get(t, 0) for t in types])
    if not all(r["same_again"] for r in measured["runs"]):
        row["status"] = "unsteady"
    if row["error"] > tolerance:
        row["status"] = "differs"
        if options.ort:
            error, note = second_opinion(case, folder, job, actual, options)
            notes.append(note)
            # What was exported is not what torch computes; Espy does what the file says.
            if error is not None and error <= tolerance:
                row["status"] = "export errs"
    row["note"] = "; ".join(notes + measured.get("warnings", []))[:600]
    return row


def spread(expected):
    """How far outputs of different inputs are apart; None where their shapes differ."""
    worst = None
    for a, b in zip(expected, expected[1:]):
        for x, y in zip(a, b):
            if x.shape == y.shape and x.dtype.kind == "f" and x.size:
                worst = max(worst or 0, relative(x, y))
    return worst


def cell(row, key, form):
    value = row.get(key)
    return format(value, form) if value is not None else ""


COLUMNS = (("nodes", "d"), ("convert", ".2f"), ("first", ".2f"), ("run", ".2f"), ("sets", "d"),
           ("host", "d"), ("error", ".1e"), ("spread", ".1e"))


def table(rows, path):
    import onnx
    import torch
    import torchvision
    good = sum(row["status"] == "ok" for row in rows)
    exported = sum(row["status"] != "no export" for row in rows)
    lines = ["# Networks exported from PyTorch", "",
             f"{good} of {exported} networks that torch {torch.__version__} exports agree with it "
             f"(torchvision {torchvision.__version__}, onnx {onnx.__version__}, "
             f"{platform.machine()}).", "",
             "Written by `tests/zoo/zoo.py --table`; what the columns mean and how to run it: "
             "[testing.md](testing.md). Times are seconds on a shared machine.", "",
             "| network | opset | nodes | convert | first run | run | sets | host nodes | error | spread | result |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row["name"], str(row["opset"])] + [cell(row, key, form) for key, form in COLUMNS]
        note = "" if row["status"] == "ok" else ": " + row["note"].replace("|", "/")
        lines.append("| " + " | ".join(cells + [row["status"] + note]) + " |")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def chosen(options):
    from zoo_cases import cases
    names = options.names

    def wanted(name):
        return not names or any(n == name if options.exact else n in name for n in names)
    return [case for case in cases() if wanted(case.name)]


def remove(folder):
    for root, _, files in os.walk(folder):
        for name in files:
            os.unlink(os.path.join(root, name))


def main():
    options = parse()
    sys.path.insert(0, HERE)
    picked = chosen(options)
    if options.list:
        return print("\n".join(case.name for case in picked))
    rows = {}
    if options.results and os.path.exists(options.results):
        with open(options.results) as file:
            rows = {row["name"]: row for row in map(json.loads, file)}
    picked.sort(key=lambda c: options.names.index(c.name) if options.exact else 0)
    for case in picked:
        if case.name in rows:
            continue
        row = examine(case, options)
        rows[case.name] = row
        if options.results:
            with open(options.results, "a") as file:
                file.write(json.dumps(row) + "\n")
        text = " ".join(f"{key} {cell(row, key, form)}" for key, form in COLUMNS)
        print(f"{row['status']:10} {case.name:36} {text}  {row['note']}", flush=True)
        if not options.keep:
            remove(os.path.join(options.work, case.name))
    if options.table:
        table([rows[case.name] for case in picked if case.name in rows], options.table)
    return any(row["status"] not in ("ok", "no export", "export errs") for row in rows.values())


if __name__ == "__main__":
    sys.exit(main())
