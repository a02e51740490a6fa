import type { GroupOption, Option, Options, TextOption } from '../options/option.js'
import type { ExportOptions, LauncherOptions, RunOptions, SlurmOptions } from './runOptions.js'
import { trainingKeys } from './trainingKeys.js'
import { trainingPresets } from './trainingPresets.js'

const path = (meaning: string): TextOption => ({ type: 'text', expected: 'a path', meaning })
const word = (meaning: string): TextOption => ({ type: 'text', meaning })

export const exportKeys = {
  dtype: {
    type: 'choice',
    choices: ['BF16', 'F16', 'F32'],
    alsoKnown: ['bfloat16', 'float16', 'float32'],
    defaultText: "what the model's config.json says",
    meaning: "dtype of the expert's weights",
  },
  maxShardSize: { type: 'size', least: 4096, default: '5GB', meaning: 'largest size of a file' },
  card: {
    type: 'boolean',
    default: true,
    meaning: 'write a model card, `README.md`',
    more: 'See [hub.md](hub.md#model-cards). On the command line: `--no-card`',
  },
} as const satisfies Record<keyof ExportOptions, Option>

export const slurmKeys = {
  partition: { ...word('partition'), defaultText: "the cluster's" },
  time: word('time limit, as sbatch takes it. At its end the job is requeued and continues'),
  nodes: { type: 'integer', least: 1, most: 65_536, defaultText: 'Slurm decides', meaning: 'number of nodes' },
  cpusPerTask: { type: 'integer', least: 1, most: 1024, meaning: 'cores of each process' },
  memory: word('memory of a node, as sbatch takes it'),
  signalSeconds: {
    type: 'integer',
    least: 1,
    most: 65_535,
    default: 300,
    meaning: 'seconds before the time limit at which the run saves',
  },
  mpi: { ...word('the value for `srun --mpi`'), default: 'pmix' },
  sbatchArguments: {
    type: 'list',
    expected: 'a list of texts',
    most: 100,
    items: { type: 'text', meaning: '' },
    defaultText: 'none',
    meaning: 'further arguments of sbatch',
  },
} as const satisfies Record<keyof SlurmOptions, Option>

export const launcherKeys = {
  processes: {
    type: 'integer',
    least: 1,
    most: 65_536,
    default: 1,
    meaning: 'number of processes on all hosts together',
    more: 'On the command line: `--processes`',
  },
  hosts: {
    type: 'list',
    expected: 'a list of hosts, each NAME or NAME:PROCESSES',
    least: 1,
    most: 65_536,
    items: {
      type: 'text',
      expected: 'NAME or NAME:PROCESSES',
      pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]*(:[1-9][0-9]{0,4})?$',
      meaning: '',
    },
    defaultText: 'this one',
    meaning: 'hosts for mpirun',
  },
  threads: {
    type: 'integer',
    least: 1,
    most: 1024,
    defaultText: "the host's cores, divided by its processes",
    meaning: 'threads of each process',
  },
  memory: {
    type: 'size',
    least: 1,
    defaultText: "four fifths of the host's memory, divided by its processes",
    meaning: 'memory limit of each process. A run that would need more is refused, with the numbers',
  },
  heartbeatTimeout: {
    type: 'number',
    least: 1,
    most: 1_000_000,
    default: 120,
    meaning: 'a process that gives no sign of life for this many seconds counts as failed',
  },
  slurm: { type: 'group', interface: 'SlurmOptions', options: slurmKeys, meaning: 'what `--slurm` asks for' },
} as const satisfies Record<keyof LauncherOptions, Option>

const runKeys = {
  preset: {
    type: 'choice',
    choices: Object.keys(trainingPresets),
    meaning: 'published hyperparameters. Keys of the run override them',
  },
  model: { ...path('directory of the checkpoint to start from. Relative paths start from the file'), required: true },
  output: {
    ...path('directory of the expert. Its subdirectory training/ has snapshots and logs'),
    required: true,
  },
  data: {
    type: 'other',
    required: true,
    typescript: 'DataOptions',
    schema: { $ref: 'data.schema.json' },
    meaning: 'what the expert learns from: [data.md](data.md)',
  },
  training: {
    type: 'group',
    interface: 'TrainingOptions',
    options: trainingKeys,
    meaning: 'hyperparameters by the names of Transformers, in camelCase',
  },
  export: { type: 'group', interface: 'ExportOptions', options: exportKeys, meaning: 'how the expert is stored' },
  launcher: { type: 'group', interface: 'LauncherOptions', options: launcherKeys, meaning: 'where it runs' },
} as const satisfies Record<keyof RunOptions, Option>

/** A run: docs/sft.md. */
export const run: GroupOption = {
  type: 'group',
  interface: 'RunOptions',
  expected: 'an object with model, output and data',
  options: runKeys satisfies Options,
  meaning: 'one supervised fine-tuning with its model, data, hyperparameters and launcher: [sft.md](sft.md)',
}
