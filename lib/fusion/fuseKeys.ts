import { floatDtypes } from '../checkpoint/dtypes.js'
import { modelKeys } from '../checkpoint/modelKeys.js'
import type { GroupOption, Option, OtherOption } from '../options/option.js'
import type { FuseCheckpointsOptions, FuseOptions, FusionOptions } from './fuseOptionTypes.js'
import { presets } from './presets.js'

const thePresets = { defaultText: "the preset's" } as const

/** What defines a fusion: docs/fusion.md has the equations. */
export const fusionKeys = {
  scope: {
    type: 'choice',
    choices: ['row', 'tensor'],
    ...thePresets,
    meaning: 'what one softmax spans',
    more: 'A row is the last dimension',
  },
  divergence: {
    type: 'choice',
    choices: ['right||left', 'left||right'],
    ...thePresets,
    meaning: 'P‖Q of the divergence',
  },
  score: {
    type: 'choice',
    choices: ['abs', 'signed'],
    ...thePresets,
    meaning: 'importance of an element',
    more: 'Divergence × |Left − Right|, or × (Left − Right)',
  },
  gate: {
    type: 'choice',
    choices: ['ge', 'gt', 'soft'],
    ...thePresets,
    meaning: 'when Right is taken',
    more: '`ge`, `gt`: where score ≥ threshold, or > threshold. `soft` moves by max(0, score − threshold)',
  },
  lambda: {
    type: 'number',
    least: 0,
    most: 1e6,
    ...thePresets,
    meaning: 'threshold = median + lambda × (Q3 − Q1)',
  },
  epsilon: {
    type: 'number',
    least: 0,
    zeroOrFrom: 1e-30,
    most: 1,
    ...thePresets,
    meaning: 'added to every softmax value',
  },
  quantile: {
    type: 'choice',
    choices: ['lower', 'linear'],
    ...thePresets,
    meaning: 'kind of quartile',
    more: 'The element at index floor(q·(n−1)), or linear interpolation',
  },
  population: {
    type: 'choice',
    choices: ['all', 'changed'],
    ...thePresets,
    meaning: 'elements the quartiles are of',
    more: '`changed`: those that differ, and no other is ever taken from Right',
  },
} as const satisfies Record<keyof FusionOptions, Option>

/** What a recipe can say of a fusion beside {@link fusionKeys}. */
export const recipeFusionKeys = {
  preset: {
    type: 'choice',
    choices: Object.keys(presets) as (keyof typeof presets)[],
    default: 'arcee',
    meaning: 'values of all other choices',
  },
  nonFinite: {
    type: 'choice',
    choices: ['error', 'left', 'right'],
    default: 'error',
    meaning: "on NaN or infinity: refuse, or keep this side's tensor",
  },
} as const satisfies Partial<Record<keyof FuseOptions, Option>>

const callback = (parameter: string, meaning: string): OtherOption => ({
  type: 'other',
  typescript: `((${parameter}) => void)`,
  expected: 'function',
  schema: {},
  meaning,
})

/** What a fusion takes beside {@link fusionKeys}. */
export const fuseKeys = {
  ...recipeFusionKeys,
  dtype: {
    type: 'choice',
    choices: floatDtypes,
    alsoKnown: ['bfloat16', 'float16', 'float32', 'float64'],
    defaultText: "the inputs'",
    meaning: "dtype of the output's float tensors",
    more: 'Tensors that the checkpoints store in different dtypes are read in it, too',
  },
  threads: {
    type: 'integer',
    least: 1,
    most: 1024,
    defaultText: 'all cores that this process may use, or its control group has time of',
    meaning: 'number of threads',
  },
  signal: {
    type: 'other',
    typescript: 'AbortSignal',
    expected: '`AbortSignal`',
    schema: {},
    meaning: 'interrupts the call',
  },
  onProgress: callback(
    'progress: Progress',
    'called now and then on the JavaScript thread, never after the call has settled',
  ),
} as const satisfies Record<Exclude<keyof FuseOptions, keyof FusionOptions>, Option>

const fusion: GroupOption = {
  type: 'group',
  interface: 'FusionOptions',
  options: fusionKeys,
  meaning: 'what defines a fusion: [fusion.md](fusion.md)',
}

const fuse: GroupOption = {
  type: 'group',
  interface: 'FuseOptions',
  base: fusion,
  options: fuseKeys,
  meaning: "options of every fusion. Each field of {@link FusionOptions} overrides the preset's",
}

/** How a checkpoint is merged and written. */
export const checkpointKeys = {
  ...modelKeys,
  modelDtypes: {
    type: 'other',
    typescript: 'Readonly<Record<string, DtypeName>>',
    expected: '`{ left: "F32" }`',
    schema: {},
    meaning: "dtypes in which single models are read, by their names: left and right, or the recipe's. Over `dtype`",
  },
  out: { type: 'text', expected: 'a path', required: true, meaning: 'directory to write, new or empty' },
  overwrite: { type: 'boolean', default: false, meaning: 'replace the checkpoint in `out`' },
  card: {
    type: 'boolean',
    default: true,
    meaning: 'write a model card, `README.md`',
    more: 'One that people have written stays, and the card is `README.branchmerge.md`',
  },
  resume: {
    type: 'boolean',
    default: false,
    meaning: 'continue an interrupted merge, and keep the work if this one is interrupted. The bytes are the same',
    more: 'See [output-safety.md](output-safety.md#going-on-with-a-run-that-was-cut-off)',
  },
  maxShardSize: { type: 'size', least: 1000, defaultText: 'the files of Left', meaning: 'largest size of a file' },
  memory: {
    type: 'size',
    least: 1_000_000,
    defaultText: "a quarter of the machine's memory, or of the limit of the process's control group",
    meaning: 'memory limit for tensors. Larger ones are processed in slices; the bytes are the same',
  },
  device: {
    type: 'other',
    typescript: 'DeviceOption',
    expected: '`auto`, `cpu`, `cuda`, or single devices, such as `cuda:0,2`',
    schema: {},
    defaultText: 'auto',
    meaning: 'what computes ([cuda.md](cuda.md)). The bytes are the same',
  },
  onTensor: callback('stats: TensorStats', 'called once for every tensor, when it is done'),
  onDownload: callback(
    'progress: DownloadProgress',
    'called now and then while models of the Hub are fetched, before anything is merged',
  ),
} as const satisfies Record<Exclude<keyof FuseCheckpointsOptions, keyof FuseOptions>, Option>

export const fuseCheckpoints: GroupOption = {
  type: 'group',
  interface: 'FuseCheckpointsOptions',
  base: fuse,
  options: checkpointKeys,
  meaning: 'options of a fusion of two checkpoints',
}
