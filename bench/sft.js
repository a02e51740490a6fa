#!/usr/bin/env node
/**
 * What training costs, for a model of 25 million parameters (8 layers, 512 wide, tied head of 6144 tokens):
 *
 * - forward and backward passes by sequence length and recompute mode, as a fraction of the same OpenBLAS's sgemm, both in one
 *   process and measured in turns (sft_bench);
 * - whole steps of branchmerge-trainer by number of processes, each with its part of the cores; and its memory against its plan.
 *
 *   node bench/sft.js [--dir build/bench/sft] [--lengths 256,1024,4096] [--steps 6]
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { build, MIB, median, PROGRAMS, ROOT, table } from './measure.js'
import { runProcess } from './runProcess.js'

const vocabulary = 6144
const configuration = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 512,
  intermediate_size: 1408,
  num_hidden_layers: 8,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  head_dim: 64,
  vocab_size: vocabulary,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
}

/** Prepared data of documents of one length, all trained but the first token. @param {string} directory @param {number} packs @param {number} length */
function writeData(directory, packs, length) {
  mkdirSync(directory, { recursive: true })
  const documents = new DataView(new ArrayBuffer(32 * packs))
  for (let i = 0; i < packs; i++) {
    documents.setBigUint64(32 * i, BigInt(i * length), true)
    documents.setUint32(32 * i + 8, length, true)
    documents.setUint32(32 * i + 12, i, true)
    documents.setUint32(32 * i + 16, 1, true)
    documents.setBigUint64(32 * i + 24, BigInt(i), true)
  }
  const u32 = (/** @type {number[]} */ values) => Buffer.from(Uint32Array.from(values).buffer)
  const each = (/** @type {(i: number) => number[]} */ values) =>
    Array.from({ length: packs }, (_, i) => values(i)).flat()
  const sections = [
    Buffer.from(documents.buffer),
    u32(each(() => [1, length])),
    u32(each((i) => [i, 1])),
    u32(each((i) => [i])),
    u32(Array.from({ length: packs * length }, (_, i) => (i * 7919) % vocabulary)),
  ]
  const counts = [packs, packs, packs, packs, packs * length].map(BigInt)
  const header = Buffer.concat([
    Buffer.from('BMPACKS1'),
    Buffer.from(BigUint64Array.from(counts).buffer),
    Buffer.alloc(16),
  ])
  const padded = sections.flatMap((section) => [section, Buffer.alloc(-section.length & 7)])
  writeFileSync(join(directory, 'shard-00000.bin'), Buffer.concat([header, ...padded]))
  const meta = {
    format: 1,
    key: '0'.repeat(64),
    packing: 'neat',
    packLength: length,
    vocabularySize: vocabulary,
    shards: 1,
    packs,
    documents: packs,
    tokens: packs * length,
    trainedTokens: packs * (length - 1),
    sources: ['numbers'],
  }
  writeFileSync(join(directory, 'meta.json'), JSON.stringify(meta))
}

/** @param {string} directory @param {number} processes @param {number} zeroStage @param {number} steps */
async function measureTrainer(directory, processes, zeroStage, steps) {
  const output = join(directory, 'expert')
  rmSync(output, { recursive: true, force: true })
  const run = {
    format: 1,
    model: join(directory, 'model'),
    data: join(directory, 'data'),
    validationData: null,
    output,
    epochs: 1,
    maxSteps: steps,
    seed: 42,
    microBatchPacks: 1,
    gradientAccumulation: 8 / processes,
    lossNormalization: 'micro_mean',
    learningRate: 1e-4,
    schedule: 'constant',
    warmupRatio: 0,
    warmupSteps: null,
    adam: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, decay: 'matrices' },
    maxGradientNorm: 1,
    recompute: 'selective',
    lossChunkTokens: 256,
    zeroStage,
    checkpoint: { everySteps: null, keep: 1 },
    validation: { everySteps: null },
    export: { dtype: 'BF16', maxShardBytes: 5_000_000_000 },
    maxSkippedSteps: 5,
    threads: Math.max(1, Math.floor(availableParallelism() / processes)),
    memoryBytes: 8 * 2 ** 30,
    resume: false,
  }
  const file = join(directory, 'run.json')
  writeFileSync(file, JSON.stringify(run))
  const trainer = join(ROOT, 'build/Release/branchmerge-trainer')
  const root = process.getuid?.() === 0 ? ['--allow-run-as-root'] : []
  const command =
    processes === 1
      ? [trainer, file]
      : ['mpirun', ...root, '-n', String(processes), '--oversubscribe', '--bind-to', 'none', trainer, file]
  const { stdout } = await runProcess(/** @type {string} */ (command[0]), command.slice(1))
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  // The first step touches all memory for the first time.
  const timed = events.filter(({ event, step }) => event === 'step' && step > 1)
  const plan = events.find(({ event }) => event === 'plan')
  return {
    processes,
    zeroStage,
    tokensPerSecond: median(timed.map(({ tokensPerSecond }) => tokensPerSecond)),
    flops: median(timed.map(({ flops }) => flops)) * processes,
    plan: plan.memory ?? plan,
    plannedBytes: plan.memory?.total ?? plan.totalBytes,
    peakBytes: Math.max(...timed.map(({ peakBytes }) => peakBytes)),
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      dir: { type: 'string', default: join(ROOT, 'build/bench/sft') },
      lengths: { type: 'string', default: '256,1024,4096' },
      steps: { type: 'string', default: '6' },
    },
  })
  await build()
  const cores = availableParallelism()
  const passes = JSON.parse(
    (await runProcess(join(PROGRAMS, 'sft_bench'), [String(cores), ...values.lengths.split(',')])).stdout,
  )
  table(
    ['tokens', 'recompute', 'tokens/s', 'GFLOP/s', 'of sgemm'],
    passes.map((/** @type {any} */ row) => [
      String(row.sequenceLength),
      row.recompute,
      row.tokensPerSecond.toFixed(0),
      (row.flops / 1e9).toFixed(1),
      row.fraction.toFixed(2),
    ]),
  )

  const config = join(values.dir, 'config.json')
  mkdirSync(values.dir, { recursive: true })
  writeFileSync(config, JSON.stringify(configuration))
  writeData(join(values.dir, 'data'), 64, 1024)
  await makeModel(values.dir)
  const trainings = []
  for (const [processes, zeroStage] of /** @type {[number, number][]} */ ([
    [1, 0],
    [2, 1],
    [2, 3],
    [4, 1],
  ])) {
    trainings.push(await measureTrainer(values.dir, processes, zeroStage, Number(values.steps)))
  }
  table(
    ['processes', 'ZeRO', 'tokens/s', 'GFLOP/s', 'planned MiB', 'peak MiB'],
    trainings.map((row) => [
      String(row.processes),
      String(row.zeroStage),
      row.tokensPerSecond.toFixed(0),
      (row.flops / 1e9).toFixed(1),
      (row.plannedBytes / MIB).toFixed(0),
      (row.peakBytes / MIB).toFixed(0),
    ]),
  )
  const date = new Date().toISOString().slice(0, 10)
  const machine = { cpu: cpus()[0]?.model.trim(), cores, kernel: release(), node: process.version }
  const name = `${date}-sft-${(machine.cpu ?? 'cpu')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '')}.json`
  const path = join(ROOT, 'bench/results', name)
  writeFileSync(path, `${JSON.stringify({ date, machine, passes, trainings }, null, 2)}\n`)
  console.log(`All figures: ${relative(process.cwd(), path)}`)
}

/** Random weights. @param {string} directory */
async function makeModel(directory) {
  const { init } = await import('../dist/index.js')
  const out = join(directory, 'model')
  rmSync(out, { recursive: true, force: true })
  const text = join(directory, 'text.txt')
  writeFileSync(
    text,
    Array.from({ length: 3000 }, (_, i) => `number ${i} is ${(i * 7919) % 65521} in a row`).join('\n'),
  )
  await init({ out, config: join(directory, 'config.json'), trainTokenizer: [text], vocabularySize: 270, dtype: 'F32' })
}

await main()
