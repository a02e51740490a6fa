import type { Options } from 'yargs'
import { floatDtypes } from '../checkpoint/dtypes.js'
import type { ModelChoices } from '../checkpoint/modelChoices.js'
import { modelKeys } from '../checkpoint/modelKeys.js'
import { fusionKeys, recipeFusionKeys } from '../fusion/fuseKeys.js'
import { sentence } from '../options/jsonSchema.js'
import type { Option } from '../options/option.js'

const method = 'Method, each overrides the preset:'
export const output = 'Output:'
const unlike = 'Models that are not stored alike (the default comes first):'
export const running = 'Running:'
export const cluster = 'On several machines:'
export const json = { type: 'boolean', describe: 'Print exactly one JSON object on stdout', group: running } as const

/** An option as its declaration has it. */
function declared(option: Option, group: string) {
  const describe = sentence(option.meaning).slice(0, -1)
  return { describe, group, ...(option.type === 'choice' && { choices: option.choices }) }
}

const choiceOptions = {
  embeddings: {
    choices: modelKeys.embeddings.choices,
    describe: 'Rows to keep of vocabularies of different sizes',
    group: unlike,
  },
  names: {
    choices: modelKeys.names.choices,
    describe: 'Match tensor names that differ only by a prefix',
    group: unlike,
  },
  heads: {
    choices: modelKeys.heads.choices,
    describe: 'Read the embedding as the head of models that tie it',
    group: unlike,
  },
  architectures: {
    choices: modelKeys.architectures.choices,
    describe: 'Merge other architectures, too',
    group: unlike,
  },
} as const satisfies Record<keyof ModelChoices, Options>

/** What every command takes that writes a merged checkpoint. */
export const checkpointOptions = {
  out: { type: 'string', describe: 'Directory to write', group: output },
  overwrite: { type: 'boolean', describe: 'Replace the checkpoint in --out', group: output },
  card: { type: 'boolean', describe: 'Write README.md, a model card; --no-card writes none', group: output },
  resume: {
    type: 'boolean',
    describe: 'Continue an interrupted run; keep the work if this one is',
    group: output,
  },
  dtype: {
    type: 'string',
    describe: `Convert float tensors: ${floatDtypes.join(', ')}; NAME=DTYPE reads a model in it, once for each`,
    group: output,
  },
  'max-shard-size': { type: 'string', describe: 'Largest size of a file: 5GB, 2GiB', group: output },
  stats: { type: 'string', describe: 'Write statistics to this file, one JSON line a tensor', group: output },
  plan: { type: 'boolean', describe: 'Show what would be done and write nothing', group: output },
  ...choiceOptions,
  preset: declared(recipeFusionKeys.preset, 'Method:'),
  'non-finite': declared(recipeFusionKeys.nonFinite, 'Method:'),
  scope: declared(fusionKeys.scope, method),
  divergence: declared(fusionKeys.divergence, method),
  score: declared(fusionKeys.score, method),
  gate: declared(fusionKeys.gate, method),
  lambda: { ...declared(fusionKeys.lambda, method), type: 'number' },
  epsilon: { ...declared(fusionKeys.epsilon, method), type: 'number' },
  quantile: declared(fusionKeys.quantile, method),
  population: declared(fusionKeys.population, method),
  threads: { type: 'number', describe: 'Default: all cores', group: running },
  device: { type: 'string', describe: 'auto (default), cpu, cuda, or devices as cuda:0,2', group: running },
  memory: {
    type: 'string',
    describe: "Most for tensors, as 8GB or 8GiB; default: a quarter of the machine's, or of its container's",
    group: running,
  },
  json,
} as const satisfies Record<string, Options>

/** What `merge` takes. */
export const mergeOptions = {
  model: { type: 'string', describe: 'NAME=PATH of a model; once for each', group: 'Inputs:' },
  recipe: { type: 'string', describe: 'File of a recipe, whatever its name', group: 'Inputs:' },
  sha256: { type: 'boolean', describe: 'Record the SHA-256 of whole input files', group: 'Inputs:' },
  ...checkpointOptions,
  shard: {
    type: 'string',
    describe: 'I/N: merge only part I of N; then branchmerge finish',
    conflicts: ['plan', 'stats', 'slurm'],
    group: cluster,
  },
  slurm: { type: 'boolean', describe: 'Submit to Slurm, a task for each part', conflicts: 'stats', group: cluster },
  parts: { type: 'number', describe: 'Tasks. Default: one for each output file', implies: 'slurm', group: cluster },
  partition: { type: 'string', describe: "Slurm's partition", implies: 'slurm', group: cluster },
  time: { type: 'string', describe: 'Time limit of a task, as sbatch takes it', implies: 'slurm', group: cluster },
  cpus: { type: 'number', describe: 'Cores of a task', implies: 'slurm', group: cluster },
  mem: { type: 'string', describe: 'Memory of a task, as sbatch takes it', implies: 'slurm', group: cluster },
  'sbatch-arg': {
    type: 'string',
    describe: 'Another argument of sbatch, such as --sbatch-arg=--account=lab',
    implies: 'slurm',
    group: cluster,
  },
} as const satisfies Record<string, Options>
