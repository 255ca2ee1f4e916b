// What onnxruntime makes of the files that zoo.py wrote: node onnxruntime.cjs NODE_MODULES FOLDER
const fs = require("fs");
const path = require("path");

const [modules, folder] = process.argv.slice(2);
const ort = require(path.join(path.resolve(modules), "onnxruntime-node"));
const types = { f4: "float32", f8: "float64", f2: "float16", i1: "int8", u1: "uint8", i2: "int16",
    u2: "uint16", i4: "int32", u4: "uint32", i8: "int64", u8: "uint64", b1: "bool" };
const arrays = { float32: Float32Array, float64: Float64Array, float16: Uint16Array,
    int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
    uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array };

function read(file) {
    const bytes = fs.readFileSync(file);
    const long = bytes[6] > 1;
    const start = long ? 12 : 10;
    const length = long ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8);
    const header = bytes.toString("latin1", start, start + length);
    const type = types[/'descr': '.(..)'/.exec(header)[1]];
    const dims = /\((.*?)\)/.exec(header)[1].split(",").filter((s) => s.trim()).map(Number);
    const data = Uint8Array.from(bytes.subarray(start + length)).buffer;
    return new ort.Tensor(type, new arrays[type](data), dims);
}

async function main() {
    const job = JSON.parse(fs.readFileSync(path.join(folder, "job.json")));
    const session = await ort.InferenceSession.create(path.join(folder, "model.onnx"),
        { graphOptimizationLevel: "disabled" });
    for (const [index, set] of job.sets.entries()) {
        const feeds = {};
        for (const [name, file] of Object.entries(set.inputs)) feeds[name] = read(file);
        const results = await session.run(feeds);
        const infos = [];
        for (const [i, name] of job.outputs.entries()) {
            const { data, dims, type } = results[name];
            infos.push({ type, dims });
            fs.writeFileSync(path.join(folder, `ort${index}_${i}.bin`),
                Buffer.from(data.buffer, data.byteOffset, data.byteLength));
        }
        fs.writeFileSync(path.join(folder, `ort${index}.json`), JSON.stringify(infos));
    }
}

main().catch((error) => { console.error(String(error)); process.exit(1); });
