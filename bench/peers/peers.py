#!/usr/bin/env python3
"""Espy, onnxruntime and ncnn on the same networks, taking turns in one run, as a table of ratios.

    /usr/bin/python3 bench/peers/peers.py --work FOLDER --ort FOLDER/node_modules \\
        --ncnn .../benchncnn --arch ../shared/arch [--rounds 5] [NAME ...]

NAME is a network of export_models.py (default: all) or, with --arch, arch/NAME for a folder there.
onnxruntime-node: npm i --ignore-scripts onnxruntime-node in FOLDER. Without --ort or --ncnn that
peer is left out. Files are made in FOLDER once and reused; so are the drivers' caches in it.

A round visits all networks; at each, every program runs in a process of its own, warms up with
ten runs, as benchncnn does (in its first half second a process may have all threads on one core),
and runs --runs times. A figure is the median over the rounds of a round's median (of ncnn: of a
round's mean, which is what benchncnn prints). First results are of processes with empty caches.
ncnn's is the time of its process less the ten runs that benchncnn makes besides. Memory is the most
that was resident of a process, node's own included for onnxruntime. onnxruntime runs on the CPU
with --threads threads; ncnn runs through Vulkan in float32 (ncnn_param.py; --half leaves float16 to
it).
"""
import argparse
import datetime
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from export_models import NAMES

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ARCH = """seresnet50 cbam_resnet50 convnext_atto deit_tiny swin_tiny mobilevit_xxs botnet26t
efficientnet_b0""".split()
WARMUPS = 10  # benchncnn's, of which one is its first run; the others make as many


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--work", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build-ci"))
    parser.add_argument("--ort", help="node_modules with onnxruntime-node")
    parser.add_argument("--ncnn", help="benchncnn, built with Vulkan")
    parser.add_argument("--ncnn-gpu", default="0", help="ncnn's number of the device")
    parser.add_argument("--half", action="store_true", help="let ncnn use float16")
    parser.add_argument("--arch", help="folder of architectures with fillweights.mjs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5, help="runs per round")
    parser.add_argument("--threads", default="2", help="of onnxruntime and ncnn")
    parser.add_argument("--no-firsts", action="store_true", help="leave first results out")
    parser.add_argument("--json", help="write all figures there")
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)
    return options


# ---- processes -----------------------------------------------------------------------------------


class Failed(Exception):
    pass


def run(command, cache):
    """Returns stdout, stderr, seconds and the most bytes that were resident. What this process has
    at the time is the least of these on Linux: torch and onnx are left to other processes."""
    environment = dict(os.environ, MESA_SHADER_CACHE_DIR=cache, MESA_GLSL_CACHE_DIR=cache,
                       XDG_CACHE_HOME=cache)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, errors = out.read(), err.read()
    if process.returncode:
        raise Failed(f"{' '.join(command)}: {process.returncode}: {errors.strip()[-400:]}")
    return text, errors, seconds, usage.ru_maxrss * 1024


class Espy:
    name = "Espy"

    def __init__(self, options):
        self.options = options
        self.bench = os.path.join(options.build, "bench", "bench_models")

    def prepare(self, network):
        network.espy = network.base + ".espy"
        tool = os.path.join(self.options.build, "tools", "espy")
        source = network.onnx
        if not os.path.exists(network.espy) or \
                os.path.getmtime(network.espy) < max(map(os.path.getmtime, (source, tool))):
            run([tool, "convert", source, "-o", network.espy], self.options.work)

    def measure(self, network, cache):
        text, _, _, _ = run([self.bench, "--json", "--no-firsts", "--rounds",
                             str(WARMUPS + self.options.runs), network.espy], cache)
        row = json.loads(text)
        network.dispatches, network.device_memory = row["dispatches"], row["device_memory"]
        return statistics.median(row["ms"][WARMUPS:])

    def first(self, network, cache):
        text, _, _, _ = run([self.bench, "--json", "--rounds", "1", network.espy], cache)
        row = json.loads(text)
        return {"cold": row["cold_ms"], "warm": row["warm_ms"], "resident": row["resident"]}


class Onnxruntime:
    name = "onnxruntime"

    def __init__(self, options):
        self.options = options

    def prepare(self, network):
        pass

    def once(self, network, cache, runs):
        text, _, _, resident = run(["node", os.path.join(HERE, "ort_bench.mjs"), self.options.ort,
                                    network.onnx, str(runs), self.options.threads], cache)
        row = json.loads(text)
        self.version = row["version"]
        return row, resident

    def measure(self, network, cache):
        row, _ = self.once(network, cache, WARMUPS + self.options.runs)
        return statistics.median(row["ms"][WARMUPS:])

    def first(self, network, cache):
        row, resident = self.once(network, cache, 0)
        return {"cold": row["first"], "resident": resident}


class Ncnn:
    name = "ncnn"
    device = ""

    def __init__(self, options):
        self.options = options

    def prepare(self, network):
        network.param = network.base + (".half.param" if self.options.half else ".param")
        try:
            text, _, _, _ = run([sys.executable, os.path.join(HERE, "ncnn_param.py"), network.onnx,
                                 network.param] + ["--half"] * self.options.half,
                                self.options.work)
            network.shape = text.strip()
        except Failed as error:
            print(f"peers.py: {error}", file=sys.stderr)
            network.param = None

    def once(self, network, cache, runs):
        if network.param is None:
            return None, None, None
        _, errors, seconds, resident = run(
            [self.options.ncnn, str(runs), self.options.threads, "0", self.options.ncnn_gpu, "0",
             "param=" + network.param, "shape=" + network.shape], cache)
        found = re.search(r"avg = +([0-9.]+)", errors)
        device = re.search(r"^\[\d+ ([^\]]*)\]", errors, re.M)
        if found is None:
            raise Failed(f"benchncnn: {errors.strip()[-400:]}")
        self.device = device.group(1) if device else ""
        return float(found.group(1)), seconds, resident

    def measure(self, network, cache):
        return self.once(network, cache, self.options.runs)[0]

    def first(self, network, cache):
        ms, seconds, resident = self.once(network, cache, 1)
        if ms is None:
            return {}
        return {"cold": seconds * 1e3 - WARMUPS * ms, "resident": resident}


# ---- networks ------------------------------------------------------------------------------------


class Network:
    def __init__(self, name, base, onnx):
        self.name, self.base, self.onnx = name, base, onnx
        self.ms, self.firsts = {}, {}
        self.dispatches = self.device_memory = 0


def fill_weights(options, name):
    """The architecture in a copy, with its weights made there by the rule that comes with it."""
    there = os.path.join(options.work, "arch", name)
    if not os.path.exists(os.path.join(there, "weights.bin")):
        shutil.copytree(os.path.join(options.arch, name), there, dirs_exist_ok=True)
        run(["node", os.path.join(options.arch, "fillweights.mjs"), there], options.work)
    return os.path.join(there, "model.onnx")


def networks(options):
    names = options.names or NAMES + \
        (["arch/" + name for name in ARCH] if options.arch else [])
    found = []
    os.makedirs(os.path.join(options.work, "models"), exist_ok=True)
    for name in names:
        base = os.path.join(options.work, "models", name.replace("/", "_"))
        if name.startswith("arch/"):
            onnx = fill_weights(options, name[len("arch/"):])
        else:
            onnx = base + ".onnx"
            if not os.path.exists(onnx):
                run([sys.executable, os.path.join(HERE, "export_models.py"), "--work",
                     os.path.dirname(onnx), name], options.work)
        found.append(Network(name, base, onnx))
    return found


# ---- the run and its table -----------------------------------------------------------------------


def first_results(programs, found, options):
    for network in found:
        for program in programs:
            with tempfile.TemporaryDirectory(dir=options.work) as cache:
                network.firsts[program.name] = program.first(network, cache)


def rounds(programs, found, options):
    for number in range(options.rounds):
        for network in found:
            for program in programs:
                cache = os.path.join(options.work, "cache", program.name)
                os.makedirs(cache, exist_ok=True)
                ms = program.measure(network, cache)
                if ms is not None:
                    network.ms.setdefault(program.name, []).append(ms)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)


def median(network, program):
    ms = network.ms.get(program.name)
    return statistics.median(ms) if ms else None


def text(value, form):
    return "-" if value is None else format(value, form)


def geometric_mean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def speeds(programs, found):
    """Ratios are of times: Espy / ncnn below 1 says that Espy is faster."""
    peers = programs[1:]
    head = ["network"] + [f"{p.name} ms" for p in programs] + \
        [f"Espy / {p.name}" for p in peers] + ["best round ms", "dispatches", "device MB"]
    rows, ratios = [], {p.name: [] for p in peers}
    for network in found:
        ours = median(network, programs[0])
        row = [network.name] + [text(median(network, p), ".1f") for p in programs]
        for peer in peers:
            theirs = median(network, peer)
            ratio = ours / theirs if theirs else None
            ratios[peer.name].append(ratio)
            row.append(text(ratio, ".2f"))
        best = min(network.ms[programs[0].name])
        rows.append(row + [f"{best:.1f}", str(network.dispatches),
                           f"{network.device_memory * 1e-6:.1f}"])
    rows.append(["geometric mean"] + [""] * len(programs) +
                [text(geometric_mean(ratios[p.name]), ".2f") for p in peers] + [""] * 3)
    return head, rows


def firsts(programs, found):
    head = ["network", "Espy warm ms"] + [f"{p.name} cold ms" for p in programs] + \
        [f"{p.name} resident MB" for p in programs]
    rows = []
    for network in found:
        got = [network.firsts[p.name] for p in programs]
        resident = [g.get("resident") for g in got]
        rows.append([network.name, text(got[0].get("warm"), ".0f")] +
                    [text(g.get("cold"), ".0f") for g in got] +
                    [text(r and r * 1e-6, ".0f") for r in resident])
    return head, rows


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def about(programs, options):
    devices, _, _, _ = run([os.path.join(options.build, "tools", "espy"), "devices"], options.work)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), "unknown CPU")
    lines = [f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores.", "",
             "    " + " ".join(["peers.py"] + sys.argv[1:]), "", "What Espy sees:", ""]
    lines += ["    " + line for line in devices.strip().splitlines()] + [""]
    for program in programs[1:]:
        if program.name == "ncnn":
            lines.append(f"ncnn's device: {program.device}; "
                         f"{'float16 as it likes' if options.half else 'float32'}.")
        else:
            lines.append(f"onnxruntime {program.version}, CPU provider, "
                         f"{options.threads} threads.")
    return "\n".join(lines) + "\n"


def main():
    options = parse()
    programs = [Espy(options)]
    if options.ncnn:
        programs.append(Ncnn(options))
    if options.ort:
        programs.append(Onnxruntime(options))
    try:
        found = networks(options)
        for network in found:
            for program in programs:
                program.prepare(network)
        if not options.no_firsts:
            first_results(programs, found, options)
        rounds(programs, found, options)
        print(about(programs, options))
        print(table(*speeds(programs, found)))
        if not options.no_firsts:
            print(table(*firsts(programs, found)))
        if options.json:
            with open(options.json, "w") as file:
                json.dump([{"name": n.name, "ms": n.ms, "firsts": n.firsts,
                            "dispatches": n.dispatches} for n in found], file, indent=1)
    except Failed as error:
        print(f"peers.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
