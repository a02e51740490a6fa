import { checkpointKeys, fuseKeys, fusionKeys, recipeFusionKeys } from '../fusion/fuseKeys.js'
import { jsonSchema } from '../options/jsonSchema.js'
import type { GroupOption, Option, Options, OtherOption, TextOption } from '../options/option.js'
import type { PipelineOptions } from './pipelineOptions.js'

const path = (meaning: string): TextOption => ({ type: 'text', expected: 'a path', meaning })

/** What a command takes from a file: here as an object, or that file. */
const document = (meaning: string): OtherOption => ({
  type: 'other',
  typescript: 'string | object',
  schema: { $comment: 'an object, or the path of a .yaml or .json file', type: ['object', 'string'] },
  meaning,
})

/** What a fusion of a pipeline takes: everything but how it is carried out. */
const {
  out: _out,
  overwrite: _overwrite,
  resume: _resume,
  memory,
  device: _device,
  onTensor: _onTensor,
  onDownload: _onDownload,
  ...ofCheckpoints
} = checkpointKeys

export const pipelineFuseKeys = {
  left: { ...path('checkpoint of which the result has everything that Right does not change'), required: true },
  right: { ...path('checkpoint whose changes are added'), required: true },
  ...recipeFusionKeys,
  ...fusionKeys,
  dtype: fuseKeys.dtype,
  ...ofCheckpoints,
} as const satisfies Options

export const pipelineCompareKeys = {
  evaluations: {
    type: 'list',
    required: true,
    expected: 'a list of directories of evaluations',
    least: 1,
    items: path(''),
    meaning: 'directories of evaluations, whose models have different names',
  },
  baseline: { type: 'text', defaultText: 'none', meaning: 'model with which all others are compared' },
  merged: { type: 'text', defaultText: 'the last one that is not the baseline', meaning: 'the merged model' },
  experts: {
    type: 'list',
    expected: 'a list of names',
    items: { type: 'text', meaning: '' },
    defaultText: 'all others',
    meaning: 'what the merged model is compared with beside the baseline',
  },
  samples: { type: 'integer', least: 39, most: 1_000_000, default: 10_000, meaning: 'samples of each bootstrap' },
  seed: { type: 'integer', least: 0, most: 2 ** 32 - 1, default: 0, meaning: 'seed of the bootstrap' },
} as const satisfies Options

/** Kinds of steps, each by the key that it has in the file. */
export const stepKeys = {
  select: document('selects training data ([select.md](select.md))'),
  teach: document('lets a teacher answer questions ([teach.md](teach.md))'),
  sft: document('fine-tunes a checkpoint ([sft.md](sft.md))'),
  merge: document('merges checkpoints by a recipe ([recipes.md](recipes.md))'),
  fuse: {
    type: 'group',
    interface: 'PipelineFusion',
    options: pipelineFuseKeys,
    meaning: 'fuses two checkpoints ([fusion.md](fusion.md))',
  },
  evaluate: document('asks models the questions of benchmarks ([evaluate.md](evaluate.md))'),
  compare: {
    type: 'group',
    interface: 'PipelineComparison',
    options: pipelineCompareKeys,
    meaning: 'compares the models of evaluations, and writes the report ([evaluate.md](evaluate.md))',
  },
} as const satisfies Options

export type StepKindName = keyof typeof stepKeys

/** How a step is carried out. */
export const settingKeys = {
  limit: {
    type: 'integer',
    least: 1,
    most: Number.MAX_SAFE_INTEGER,
    meaning: 'of `select`: read only the first so many rows of each source',
  },
  threads: {
    type: 'integer',
    least: 1,
    most: 1024,
    defaultText: "the command's",
    meaning: 'of `select`, `merge` and `fuse`: number of threads',
  },
  memory: { ...memory, defaultText: "the command's", meaning: 'of `merge` and `fuse`: memory limit for tensors' },
  device: {
    type: 'text',
    defaultText: 'auto',
    meaning: 'of `merge` and `fuse`: what computes ([cuda.md](cuda.md))',
  },
} as const satisfies Options

export const stepNamePattern = /^[A-Za-z]\w*$/

const step: GroupOption = {
  type: 'group',
  interface: 'PipelineStep',
  options: { ...stepKeys, ...settingKeys },
  expected: 'an object with one kind of step',
  meaning: 'one step of a pipeline: one of the kinds, and how it is carried out',
}

export const pipelineKeys = {
  out: {
    ...path('directory of the pipeline: a directory for the output of each step, and what is known of them'),
    required: true,
  },
  steps: {
    type: 'other',
    required: true,
    typescript: 'Readonly<Record<string, PipelineStep>>',
    schema: {
      $comment: 'an object with steps by their names',
      type: 'object',
      minProperties: 1,
      additionalProperties: jsonSchema(step),
    },
    meaning: 'steps by name',
  },
} as const satisfies Record<keyof PipelineOptions, Option>

export const pipelineGroup: GroupOption = {
  type: 'group',
  interface: 'PipelineOptions',
  options: pipelineKeys,
  expected: 'an object with out and steps',
  meaning: 'a graph of steps, each of which a command can do alone: [pipeline.md](pipeline.md)',
}
