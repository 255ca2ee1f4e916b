// What onnxruntime's CPU provider takes:  node ort_bench.mjs NODE_MODULES MODEL.onnx RUNS [THREADS]
// Prints JSON: the time of the first result (from loading the library on) and of each run after.
// One more run goes before those; inputs are random numbers from -1 to 1.
import { createRequire } from "module";
import path from "path";

const [modules, model, runs, threads = "2"] = process.argv.slice(2);

function numbers(count) {
    const data = new Float32Array(count);
    let state = 1;
    for (let i = 0; i < count; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        data[i] = (state >>> 8) / (1 << 23) - 1;
    }
    return data;
}

async function timed(call) {
    const start = performance.now();
    const result = await call();
    return [performance.now() - start, result];
}

const start = performance.now();
const ort = createRequire(import.meta.url)(path.join(path.resolve(modules), "onnxruntime-node"));
const session = await ort.InferenceSession.create(model, {
    executionProviders: ["cpu"], intraOpNumThreads: Number(threads), interOpNumThreads: 1,
    graphOptimizationLevel: "all",
});
const feeds = {};
for (const input of session.inputMetadata) {
    const dims = input.shape.map((d) => (typeof d === "number" && d > 0 ? d : 1));
    if (input.type !== "float32")
        throw new Error(`input ${input.name} is ${input.type}; this program gives float32`);
    feeds[input.name] = new ort.Tensor("float32", numbers(dims.reduce((a, b) => a * b, 1)), dims);
}
await session.run(feeds);
const first = performance.now() - start;
await session.run(feeds);
const ms = [];
for (let i = 0; i < Number(runs); i++) ms.push((await timed(() => session.run(feeds)))[0]);
const { version } = createRequire(import.meta.url)(
    path.join(path.resolve(modules), "onnxruntime-node", "package.json"));
console.log(JSON.stringify({ version, first, ms }));
