"""Runs one .espy file on several sets of inputs through one session of libespy, with ctypes.

    /usr/bin/python3 espy_library.py JOB.json

is how zoo.py calls it: in a process of its own, so that a crash is a result like any other. The job
has "library", "model", "device" and "sets", a list of {"inputs": {name: FILE.npy}, "outputs": FOLDER}.
Outputs are written as FOLDER/INDEX.npy in the model's order; what was measured goes to standard
output as one JSON object.
"""
import ctypes
import json
import os
import sys
import time

import numpy as np

RANK_MAX = 8
DTYPES = {1: np.float32, 2: np.float16, 4: np.float64, 5: np.int8, 6: np.uint8, 7: np.int16,
          8: np.uint16, 9: np.int32, 10: np.uint32, 11: np.int64, 12: np.uint64, 13: np.bool_}
NUMBERS = {np.dtype(dtype): number for number, dtype in DTYPES.items()}
BFLOAT16 = 3
LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)


class ContextParams(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("log", LOG), ("log_user", ctypes.c_void_p),
                ("log_level", ctypes.c_int), ("realloc", ctypes.c_void_p),
                ("realloc_user", ctypes.c_void_p)]


class DeviceParams(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p),
                ("cache_dir", ctypes.c_char_p), ("validation", ctypes.c_bool)]


class ValueInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_uint32),
                ("dims", ctypes.c_int64 * RANK_MAX), ("symbols", ctypes.c_char_p * RANK_MAX),
                ("has_shape", ctypes.c_bool), ("role", ctypes.c_char_p), ("of", ctypes.c_char_p),
                ("preprocess", ctypes.c_void_p), ("threshold", ctypes.c_double),
                ("label_count", ctypes.c_uint32), ("labels", ctypes.c_void_p)]


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_uint32),
                ("dims", ctypes.c_int64 * RANK_MAX), ("data", ctypes.c_void_p),
                ("size", ctypes.c_size_t)]


class PlanInfo(ctypes.Structure):
    _fields_ = [("memory_size", ctypes.c_uint64), ("weights_size", ctypes.c_uint64),
                ("stage_count", ctypes.c_uint32), ("dispatch_count", ctypes.c_uint32),
                ("host_node_count", ctypes.c_uint32), ("read_size", ctypes.c_uint64),
                ("written_size", ctypes.c_uint64), ("weights_read_size", ctypes.c_uint64),
                ("data_dependent", ctypes.c_bool), ("float64_as_float32", ctypes.c_bool)]


class Failure(Exception):
    """A call of the library that failed, with what it logged."""


class Session:
    def __init__(self, library, model, device=None):
        self.library = ctypes.CDLL(library)
        self.messages = []
        self.log = LOG(self._log)
        self.context = ctypes.c_void_p()
        self.device = ctypes.c_void_p()
        self.model = ctypes.c_void_p()
        self.session = ctypes.c_void_p()
        params = ContextParams(ctypes.sizeof(ContextParams), self.log, None, 2, None, None)
        self._call("espy_context_create", ctypes.byref(params), ctypes.byref(self.context))
        params = DeviceParams(ctypes.sizeof(DeviceParams), device and device.encode(), None, False)
        self._call("espy_device_create", self.context, ctypes.byref(params),
                   ctypes.byref(self.device))
        self._call("espy_model_load_file", self.context, model.encode(), ctypes.byref(self.model))
        self._call("espy_session_create", self.device, self.model, None,
                   ctypes.byref(self.session))

    def _log(self, _user, level, message):
        self.messages.append((level, message.decode(errors="replace")))

    def _call(self, name, *arguments):
        if getattr(self.library, name)(*arguments):
            errors = [message for level, message in self.messages if level == 1]
            raise Failure(errors[-1] if errors else name + " failed without a message")

    def values(self, kind):
        infos = []
        for index in range(getattr(self.library, f"espy_model_{kind}_count")(self.model)):
            info = ValueInfo()
            self._call(f"espy_model_{kind}", self.model, ctypes.c_uint32(index),
                       ctypes.byref(info))
            infos.append(info)
        return infos

    def run(self, inputs):
        """Runs once; returns the outputs and what espy_session_plan says of the plan."""
        tensors = (Tensor * max(len(inputs), 1))()
        dtypes = {info.name.decode(): info.dtype for info in self.values("input")}
        held = []
        for tensor, (name, array) in zip(tensors, inputs.items()):
            array = np.ascontiguousarray(array).reshape(array.shape)
            held.append(array)
            tensor.name = name.encode()
            tensor.dtype = BFLOAT16 if dtypes.get(name) == BFLOAT16 else NUMBERS[array.dtype]
            tensor.rank = array.ndim
            tensor.dims[:array.ndim] = array.shape
            tensor.data = array.ctypes.data
            tensor.size = array.nbytes
        info = PlanInfo()
        count = ctypes.c_uint32(len(inputs))
        self._call("espy_session_plan", self.session, tensors, count, ctypes.byref(info), None)
        names = [output.name for output in self.values("output")]
        outputs = (Tensor * len(names))()
        for tensor, name in zip(outputs, names):
            tensor.name = name
        self._call("espy_session_run", self.session, tensors, count, outputs,
                   ctypes.c_uint32(len(names)))
        return [read(tensor) for tensor in outputs], info

    def close(self):
        for name in ("session", "model", "device", "context"):
            getattr(self.library, f"espy_{name}_destroy")(ctypes.byref(getattr(self, name)))


def read(tensor):
    dims = tuple(tensor.dims[:tensor.rank])
    if not tensor.size:
        return np.zeros(dims, DTYPES.get(tensor.dtype, np.float32))
    data = ctypes.string_at(tensor.data, tensor.size)
    if tensor.dtype == BFLOAT16:
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(
            np.float32).reshape(dims)
    return np.frombuffer(data, DTYPES[tensor.dtype]).reshape(dims).copy()


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    measured = {"runs": []}
    try:
        start = time.monotonic()
        session = Session(job["library"], job["model"], job.get("device"))
        measured["session_seconds"] = time.monotonic() - start
        for one in job["sets"]:
            inputs = {name: np.load(path) for name, path in one["inputs"].items()}
            start = time.monotonic()
            outputs, info = session.run(inputs)
            first = time.monotonic() - start
            start = time.monotonic()
            again, _ = session.run(inputs)
            seconds = time.monotonic() - start
            same = all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
                       for a, b in zip(outputs, again))
            os.makedirs(one["outputs"], exist_ok=True)
            for index, output in enumerate(outputs):
                np.save(os.path.join(one["outputs"], f"{index}.npy"), output)
            measured["runs"].append({
                "first_seconds": first, "seconds": seconds, "same_again": same,
                "host_nodes": info.host_node_count, "stages": info.stage_count,
                "dispatches": info.dispatch_count, "data_dependent": info.data_dependent})
        measured["warnings"] = sorted({text for level, text in session.messages if level == 2})
        session.close()
    except Failure as failure:
        measured["error"] = str(failure)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
