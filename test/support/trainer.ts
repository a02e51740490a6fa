import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encode } from './floats.js'
import { Random } from './random.js'
import { safetensorsBytes, type Tensors } from './writeCheckpoint.js'

/** The trainer that the build made. */
export const trainerPath =
  process.env.BRANCHMERGE_TRAINER ?? fileURLToPath(new URL('../../build/Release/branchmerge-trainer', import.meta.url))

export interface ModelSize {
  vocabulary: number
  hidden: number
  intermediate: number
  layers: number
  heads: number
  keyValueHeads: number
  /** Whether the head is the embedding. */
  tied: boolean
}

export const tinySize: ModelSize = {
  vocabulary: 64,
  hidden: 32,
  intermediate: 64,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  tied: true,
}

/** A Llama-shaped model of random weights: config.json and model.safetensors. */
export function writeModel(directory: string, size = tinySize, change: (tensors: Tensors) => void = () => {}): string {
  const random = new Random(7)
  const { hidden, intermediate, layers, vocabulary } = size
  const keyValue = (hidden / size.heads) * size.keyValueHeads
  const tensors: Tensors = new Map()
  const add = (name: string, shape: number[], draw: () => number) => {
    const values = Array.from({ length: shape.reduce((product, length) => product * length, 1) }, draw)
    tensors.set(name, { dtype: 'F32', shape, data: encode('F32', values) })
  }
  const matrix = (name: string, rows: number, columns: number) =>
    add(name, [rows, columns], () => random.normal() / Math.sqrt(columns))
  const norm = (name: string) => add(name, [hidden], () => 1)
  matrix('model.embed_tokens.weight', vocabulary, hidden)
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`
    norm(`${layer}.input_layernorm.weight`)
    matrix(`${layer}.self_attn.q_proj.weight`, hidden, hidden)
    matrix(`${layer}.self_attn.k_proj.weight`, keyValue, hidden)
    matrix(`${layer}.self_attn.v_proj.weight`, keyValue, hidden)
    matrix(`${layer}.self_attn.o_proj.weight`, hidden, hidden)
    norm(`${layer}.post_attention_layernorm.weight`)
    matrix(`${layer}.mlp.gate_proj.weight`, intermediate, hidden)
    matrix(`${layer}.mlp.up_proj.weight`, intermediate, hidden)
    matrix(`${layer}.mlp.down_proj.weight`, hidden, intermediate)
  }
  norm('model.norm.weight')
  if (!size.tied) matrix('lm_head.weight', vocabulary, hidden)
  change(tensors)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'model.safetensors'), safetensorsBytes(tensors))
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: size.heads,
    num_key_value_heads: size.keyValueHeads,
    vocab_size: vocabulary,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: size.tied,
    attention_bias: false,
    mlp_bias: false,
    torch_dtype: 'float32',
  }
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config))
  return directory
}

export interface TestDocument {
  tokens: number[]
  /** Trained stretches: begin and end. */
  spans: [begin: number, end: number][]
  source: number
  row: number
}

/** Documents that follow a rule which a model can learn, after a prompt of two tokens that is not trained. */
export function drawDocuments(
  count: number,
  options: { seed?: number; length?: number; shortest?: number; vocabulary?: number } = {},
) {
  const { seed = 1, length = 20, shortest = Math.ceil(length / 2), vocabulary = tinySize.vocabulary } = options
  const random = new Random(seed)
  return Array.from({ length: count }, (_, row): TestDocument => {
    const tokens = [random.below(vocabulary)]
    const size = shortest + random.below(length - shortest + 1)
    while (tokens.length < size) tokens.push(((tokens.at(-1) as number) * 5 + 3) % vocabulary)
    return { tokens, spans: [[2, size]], source: row % 2, row: row >> 1 }
  })
}

/** Puts `each` documents into a pack. */
export const packEvery = (documents: TestDocument[], each: number): TestDocument[][] =>
  Array.from({ length: Math.ceil(documents.length / each) }, (_, i) => documents.slice(i * each, (i + 1) * each))

/** One shard, written apart from what the package writes. */
export function shardBytes(packs: TestDocument[][]): Buffer {
  const documents = packs.flat()
  const spans = documents.flatMap((document) => document.spans)
  const tokens = documents.flatMap((document) => document.tokens)
  const u32 = (values: number[]) => Buffer.from(Uint32Array.from(values).buffer)
  const u64 = (values: number[]) => Buffer.from(BigUint64Array.from(values.map(BigInt)).buffer)
  let [firstToken, firstSpan, first] = [0, 0, 0]
  const documentRecords = documents.map((document) => {
    const { length } = document.tokens
    const record = [
      u64([firstToken]),
      u32([length, firstSpan, document.spans.length, document.source]),
      u64([document.row]),
    ]
    firstToken += length
    firstSpan += document.spans.length
    return Buffer.concat(record)
  })
  const packRecords = packs.map((pack) => {
    first += pack.length
    return u32([first - pack.length, pack.length])
  })
  const sections = [
    Buffer.concat(documentRecords),
    u32(spans.flat()),
    Buffer.concat(packRecords),
    u32(documents.map((_, i) => i)),
    u32(tokens),
  ]
  const counts = [documents.length, spans.length, packs.length, documents.length, tokens.length]
  const header = Buffer.concat([Buffer.from('BMPACKS1'), u64(counts), Buffer.alloc(16)])
  return Buffer.concat([header, ...sections.flatMap((section) => [section, Buffer.alloc(-section.length & 7)])])
}

export interface DataOptions {
  packing?: 'none' | 'pack' | 'neat'
  packLength?: number
  vocabulary?: number
  shards?: number
}

/** A directory of prepared data. */
export function writeData(directory: string, packs: TestDocument[][], options: DataOptions = {}): string {
  const { packing = 'neat', packLength = 4096, vocabulary = tinySize.vocabulary, shards = 2 } = options
  mkdirSync(directory, { recursive: true })
  const each = Math.ceil(packs.length / shards)
  const parts = Array.from({ length: Math.ceil(packs.length / each) }, (_, i) => packs.slice(i * each, (i + 1) * each))
  for (const [i, part] of parts.entries()) {
    writeFileSync(join(directory, `shard-${String(i).padStart(5, '0')}.bin`), shardBytes(part))
  }
  const documents = packs.flat()
  const trained = documents.flatMap(({ spans }) => spans).reduce((sum, [begin, end]) => sum + end - begin, 0)
  const meta = {
    format: 1,
    key: `test-${documents.length}`,
    packing,
    packLength,
    vocabularySize: vocabulary,
    shards: parts.length,
    packs: packs.length,
    documents: documents.length,
    tokens: documents.reduce((sum, { tokens }) => sum + tokens.length, 0),
    trainedTokens: trained,
    sources: ['even', 'odd'],
  }
  writeFileSync(join(directory, 'meta.json'), JSON.stringify(meta))
  return directory
}

/** Fields of a run file, all of them, for a run of some steps on tiny data. */
export const runFields = {
  format: 1,
  model: '',
  data: '',
  validationData: null as string | null,
  output: '',
  epochs: 2,
  maxSteps: null as number | null,
  seed: 42,
  microBatchPacks: 1,
  gradientAccumulation: 4,
  lossNormalization: 'micro_mean',
  learningRate: 3e-3,
  schedule: 'cosine',
  warmupRatio: 0.1,
  warmupSteps: null as number | null,
  adam: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01, decay: 'matrices' },
  maxGradientNorm: 1 as number | null,
  recompute: 'none',
  lossChunkTokens: 64,
  zeroStage: 1,
  checkpoint: { everySteps: null as number | null, keep: 2 },
  validation: { everySteps: null as number | null },
  export: { dtype: 'F32', maxShardBytes: 5_000_000_000 },
  maxSkippedSteps: 5,
  threads: 1,
  memoryBytes: 2 ** 31,
  resume: true,
}
export type RunFields = typeof runFields

/** A run of the tiny model on these packs; its fields are the test's own to change. */
export function tinyRun(directory: string, packs: TestDocument[][]): RunFields {
  return {
    ...structuredClone(runFields),
    model: writeModel(join(directory, 'model')),
    data: writeData(join(directory, 'data'), packs),
    output: join(directory, 'expert'),
  }
}

export interface TrainerEvent {
  event: string
  step: number
  [field: string]: unknown
}

export interface TrainerResult {
  code: number | null
  signal: NodeJS.Signals | null
  events: TrainerEvent[]
  errors: { code: string; message: string; rank: number }[]
  stderr: string
}

export interface TrainerOptions {
  processes?: number
  args?: string[]
  /** Called for each event of rank 0 as it comes. */
  onEvent?: (event: TrainerEvent, child: ChildProcess) => void
  onStart?: (child: ChildProcess) => void
  env?: Record<string, string>
  /** A shell that sets something up and then runs "$@". */
  shell?: string
}

/** Writes `run` beside its output and trains, in one process or under mpirun. */
export function train(run: RunFields, options: TrainerOptions = {}): Promise<TrainerResult> {
  const { processes = 1, args = [], onEvent, onStart, env = {}, shell } = options
  const file = `${run.output}.run.json`
  writeFileSync(file, JSON.stringify(run))
  const mpirun = ['mpirun', '-n', String(processes), '--oversubscribe', '--bind-to', 'none']
  const trainer = [...(processes > 1 ? mpirun : []), trainerPath, file, ...args]
  const [command, ...rest] = shell ? ['/bin/sh', '-c', shell, 'sh', ...trainer] : trainer
  // mpirun takes root for a mistake, which in a container it is not.
  const asRoot = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' }
  const child = spawn(command as string, rest, { env: { ...process.env, ...asRoot, ...env } })
  onStart?.(child)
  const events: TrainerEvent[] = []
  let [rest_, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest_ + text).split('\n')
    rest_ = lines.pop() as string
    for (const line of lines) {
      const event = JSON.parse(line) as TrainerEvent
      events.push(event)
      onEvent?.(event, child)
    }
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const lines = stderr.split('\n').filter((line) => line.startsWith('{"event":"error"'))
      resolve({ code, signal, events, errors: lines.map((line) => JSON.parse(line)), stderr })
    })
  })
}

/** metrics.jsonl of a run. */
export const metricsOf = (output: string): TrainerEvent[] =>
  readFileSync(join(output, 'training/metrics.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TrainerEvent)

/** What a run computed, without what its clock and its memory said. */
export const computed = (events: TrainerEvent[]): TrainerEvent[] =>
  events
    .filter(({ event }) => event === 'step' || event === 'validation' || event === 'skipped')
    .map(({ seconds, tokensPerSecond, flops, peakBytes, ...rest }) => rest as TrainerEvent)

/** Losses of the steps, in order. */
export const lossesOf = (events: TrainerEvent[]): number[] =>
  events.filter(({ event }) => event === 'step').map(({ loss }) => loss as number)

/** The names of the whole checkpoints, oldest first. */
export const snapshotsOf = (output: string): string[] =>
  readdirSync(join(output, 'training/checkpoints'))
    .filter((name) => /^step-\d+$/.test(name))
    .sort()
