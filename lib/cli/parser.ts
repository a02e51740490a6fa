import yargs, { type Argv, type Options } from 'yargs'
import { sizeNames } from '../branch/init/modelSizes.js'
import { families } from '../checkpoint/decoderShape.js'
import { floatDtypes } from '../checkpoint/dtypes.js'
import { fusionChoiceValues, nonFiniteValues, presetNames } from '../merge/fuseOptions.js'
import { nearestName } from '../validate.js'
import { version } from '../version.js'
import { UsageError } from './usageError.js'

/** A command's work, given its arguments; resolves to the exit code. Loaded when it runs: only some need the addon. */
type Run = (args: Record<string, unknown>) => Promise<number>

const method = 'Method, each overrides the preset:'
const output = 'Output:'
const running = 'Running:'
const cluster = 'On several machines:'
const json = { type: 'boolean', describe: 'Print exactly one JSON object on stdout', group: running } as const

const checkpointOptions = {
  out: { type: 'string', describe: 'Directory to write', group: output },
  overwrite: { type: 'boolean', describe: 'Replace the checkpoint in --out', group: output },
  resume: {
    type: 'boolean',
    describe: 'Go on with a run that was cut off; keep the work of this one',
    group: output,
  },
  dtype: { type: 'string', describe: `Convert float tensors: ${floatDtypes.join(', ')}`, group: output },
  'max-shard-size': { type: 'string', describe: 'Split into files of at most this: 5GB, 2GiB', group: output },
  stats: { type: 'string', describe: 'Write JSON lines, one for each tensor, to this file', group: output },
  plan: { type: 'boolean', describe: 'Show what would be done and write nothing', group: output },
  preset: { choices: presetNames, describe: 'Method', group: 'Method:' },
  'non-finite': {
    choices: nonFiniteValues,
    describe: "On NaN or infinity: refuse, or keep this side's tensor",
    group: 'Method:',
  },
  scope: { choices: fusionChoiceValues.scope, describe: 'What one softmax spans', group: method },
  divergence: { choices: fusionChoiceValues.divergence, describe: 'P‖Q of the divergence', group: method },
  score: { choices: fusionChoiceValues.score, describe: 'Importance of a difference', group: method },
  gate: { choices: fusionChoiceValues.gate, describe: 'When Right is taken', group: method },
  lambda: { type: 'number', describe: 'Threshold = median + lambda · (Q3 − Q1)', group: method },
  epsilon: { type: 'number', describe: 'Added to every softmax value', group: method },
  quantile: { choices: fusionChoiceValues.quantile, describe: 'Kind of quartile', group: method },
  population: { choices: fusionChoiceValues.population, describe: 'Elements the quartiles are of', group: method },
  threads: { type: 'number', describe: 'Default: all cores', group: running },
  device: { type: 'string', describe: 'auto (default), cpu, cuda, or devices as cuda:0,2', group: running },
  memory: { type: 'string', describe: "Most for tensors, as 8GB; default: a quarter of the machine's", group: running },
  json,
} as const satisfies Record<string, Options>

const fuseOptions = {
  ...checkpointOptions,
  out: { ...checkpointOptions.out, demandOption: true },
  preset: { ...checkpointOptions.preset, default: 'arcee' },
} as const satisfies Record<string, Options>

const mergeOptions = {
  model: { type: 'string', describe: 'NAME=PATH of a model; once for each', group: 'Inputs:' },
  recipe: { type: 'string', describe: 'File of a recipe, whatever its name', group: 'Inputs:' },
  sha256: { type: 'boolean', describe: 'Record the SHA-256 of whole input files', group: 'Inputs:' },
  embeddings: {
    choices: ['refuse', 'common', 'left', 'right'],
    describe: 'Rows to keep of vocabularies of different sizes',
    group: 'Inputs:',
  },
  ...checkpointOptions,
  shard: {
    type: 'string',
    describe: 'I/N: do part I of N only; then branchmerge finish',
    conflicts: ['plan', 'stats', 'slurm'],
    group: cluster,
  },
  slurm: { type: 'boolean', describe: 'Submit to Slurm, a task for each part', conflicts: 'stats', group: cluster },
  parts: { type: 'number', describe: 'Tasks. Default: one for each output file', implies: 'slurm', group: cluster },
  partition: { type: 'string', describe: "Slurm's partition", implies: 'slurm', group: cluster },
  time: { type: 'string', describe: 'Time limit of a task, as sbatch takes it', implies: 'slurm', group: cluster },
  cpus: { type: 'number', describe: 'Cores of a task', implies: 'slurm', group: cluster },
  mem: { type: 'string', describe: 'Memory of a task, as sbatch takes it', implies: 'slurm', group: cluster },
  'sbatch-arg': { type: 'string', describe: 'Further argument of sbatch', implies: 'slurm', group: cluster },
} as const satisfies Record<string, Options>

export const mergeOptionNames = Object.keys(mergeOptions)

/** The whole command line. It throws what is wrong with it, and calls `finish` with the command's exit code. */
export function commandLine(args: string[], finish: (exitCode: number) => void): Argv {
  const handler =
    (load: (parsed: Record<string, unknown>) => Promise<Run>) => async (parsed: Record<string, unknown>) => {
      finish(await (await load(parsed))(parsed))
    }
  const parser = yargs(args)
  return parser
    .scriptName('branchmerge')
    .locale('en')
    .usage('$0 <command>\n\nFine-tunes experts from one language model and merges them into one.')
    .command({
      command: 'fuse <left> <right>',
      describe: 'Fuse two checkpoints into a new one',
      builder: fuseArguments,
      handler: handler(async () => (await import('./fuse.js')).runFuse),
    })
    .command({
      command: 'merge [source]',
      describe: 'Merge any number of checkpoints as an expression or a recipe says',
      builder: mergeArguments,
      handler: handler(mergeRun),
    })
    .command({
      command: 'finish <directory>',
      describe: 'Make the parts of a merge (merge --shard) a checkpoint',
      builder: finishArguments,
      handler: handler(async () => (await import('./finish.js')).runFinish),
    })
    .command({
      command: 'batch <files..>',
      describe: 'Run recipes, those of the same models in one pass; skip those that are finished',
      builder: batchArguments,
      handler: handler(async () => (await import('./batch.js')).runBatch),
    })
    .command({
      command: 'verify <directory>',
      describe: 'Check a merged directory against its manifest',
      builder: verifyArguments,
      handler: handler(async () => (await import('./verify.js')).runVerify),
    })
    .command({
      command: 'reproduce <directory>',
      describe: 'Make a merged directory again from its manifest, byte for byte',
      builder: reproduceArguments,
      handler: handler(async () => (await import('./reproduce.js')).runReproduce),
    })
    .command({
      command: 'convert <file>',
      describe: 'Turn a configuration of mergekit into a recipe, one of LLaMA-Factory into a run',
      builder: convertArguments,
      handler: handler(async () => (await import('./convert.js')).runConvert),
    })
    .command({
      command: 'sft <file>',
      describe: 'Fine-tune a checkpoint into an expert',
      builder: sftArguments,
      handler: handler(async () => (await import('./sft.js')).runSft),
    })
    .command({
      command: 'data',
      describe: 'Look at training data as tokens, or prepare it',
      builder: dataCommands(handler),
      handler: () => {},
    })
    .command({
      command: 'init',
      describe: 'Make a checkpoint of random weights to train from nothing',
      builder: initArguments,
      handler: handler(async () => (await import('./init.js')).runInit),
    })
    .command({
      command: 'export <format> <directory>',
      describe: 'Write a checkpoint as a GGUF file for llama.cpp',
      builder: exportArguments,
      handler: handler(async () => (await import('./exportGguf.js')).runExportGguf),
    })
    .command({
      command: 'inspect <path>',
      describe: 'Validate a checkpoint and list its tensors',
      builder: inspectArguments,
      handler: handler(async () => (await import('./inspect.js')).runInspect),
    })
    .command({
      command: 'report [directory]',
      describe: 'Draw what was taken from Right, by layer and kind of weight',
      builder: reportArguments,
      handler: handler(async () => (await import('./report.js')).runReport),
    })
    .command({
      command: 'doctor',
      describe: 'Show what this build and machine can do',
      builder: doctorArguments,
      handler: handler(async () => (await import('./doctor.js')).runDoctor),
    })
    .demandCommand(
      1,
      'Name a command: sft, fuse, merge, batch, finish, verify, reproduce, convert, data, init, export, inspect, ' +
        'report or doctor',
    )
    .strict()
    .recommendCommands()
    .version(version)
    .help()
    .wrap(Math.min(110, parser.terminalWidth()))
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(helpful(message))
    })
}

async function mergeRun({ slurm, shard }: Record<string, unknown>): Promise<Run> {
  if (slurm) return (await import('./mergeSlurm.js')).runMergeSlurm
  if (shard !== undefined) return (await import('./mergeShard.js')).runMergeShard
  return (await import('./merge.js')).runMerge
}

/** Messages of yargs, with the nearest option where one is unknown. */
function helpful(message: string): string {
  if (message.startsWith('Did you mean')) return `Unknown command. ${message}`
  const [, unknown] = /^Unknown argument: (\S+)$/.exec(message) ?? []
  const near = unknown && nearestName(unknown, Object.keys(mergeOptions))
  return near ? `${message} (did you mean --${near}?)` : message
}

function fuseArguments(command: Argv): Argv {
  return command
    .positional('left', { type: 'string', describe: 'Checkpoint: a directory or a .safetensors file' })
    .positional('right', { type: 'string', describe: 'Checkpoint of the same shape, fused into Left' })
    .options(fuseOptions)
    .example('$0 fuse math/ code/ --out merged/', 'Two fine-tunes into one')
    .example('$0 fuse math/ code/ --out merged/ --plan', 'What that reads, writes and needs')
    .example('$0 fuse a.safetensors b.safetensors --out merged/ --lambda 2 --stats merged/stats.jsonl', '')
}

function mergeArguments(command: Argv): Argv {
  return command
    .positional('source', { type: 'string', describe: "An expression, or a recipe's .yaml or .json file" })
    .options(mergeOptions)
    .example("$0 merge '(math & science) & coding' --model math=a/ --model science=b/ --model coding=c/ --out d/", '')
    .example('$0 merge recipe.yaml --out merged/ --plan', 'What that reads, writes and needs')
    .example('$0 merge recipe.yaml --out merged/ --slurm --time 1:00:00 --cpus 16', 'On a cluster')
}

function finishArguments(command: Argv): Argv {
  return command
    .positional('directory', { type: 'string', describe: 'The --out of the parts' })
    .options({ json })
    .example('$0 finish merged/', '')
}

function batchArguments(command: Argv): Argv {
  const { out, stats: _, plan: __, ...options } = checkpointOptions
  return command
    .positional('files', { type: 'string', array: true, describe: 'Files of recipes' })
    .options({
      model: mergeOptions.model,
      sha256: mergeOptions.sha256,
      out: { ...out, describe: 'Directory for one directory a recipe, named as its file' },
      ...options,
    })
    .example('$0 batch sweep/*.yaml --model math=a/ --model science=b/ --out merged/', 'Into merged/RECIPE for each')
}

function verifyArguments(command: Argv): Argv {
  return command
    .positional('directory', { type: 'string', describe: 'Directory that branchmerge wrote' })
    .options({ threads: checkpointOptions.threads, json })
    .example('$0 verify merged/', 'Reads it once; exits with 1 when something is not as written')
}

function reproduceArguments(command: Argv): Argv {
  const { out, overwrite, threads } = checkpointOptions
  return command
    .positional('directory', { type: 'string', describe: 'Directory that branchmerge wrote' })
    .options({ model: mergeOptions.model, out: { ...out, demandOption: true }, overwrite, threads, json })
    .example('$0 reproduce merged/ --model left=a/ --model right=b/ --out again/', '')
}

function convertArguments(command: Argv): Argv {
  return command
    .positional('file', { type: 'string', describe: "mergekit's or LLaMA-Factory's YAML" })
    .options({
      out: { type: 'string', describe: 'Write the recipe to this file', group: output },
      overwrite: { type: 'boolean', describe: 'Replace the file of --out', group: output },
      json,
    })
    .example('$0 convert mergekit.yml --out recipe.yaml', '')
    .example('$0 convert llama_factory.yaml --out run.yaml', '')
}

function sftArguments(command: Argv): Argv {
  return command
    .positional('file', { type: 'string', describe: 'The run, a .yaml or .json file' })
    .options({
      set: { type: 'string', describe: 'KEY=VALUE instead of what the file says; once for each', group: 'Run:' },
      resume: { type: 'boolean', describe: 'Go on with a run that was cut off', group: 'Run:' },
      'dry-run': { type: 'boolean', describe: 'Show the plan and the command lines; train nothing', group: 'Run:' },
      processes: { type: 'number', describe: 'As launcher.processes', group: cluster },
      slurm: { type: 'boolean', describe: 'Submit a job to Slurm and follow it', group: cluster },
      detach: { type: 'boolean', describe: 'Do not follow it', implies: 'slurm', group: cluster },
      srun: { type: 'boolean', describe: 'Start with srun, inside an allocation', conflicts: 'slurm', group: cluster },
      json,
    })
    .example('$0 sft run.yaml', 'Trains, and leaves the expert in the output of the run')
    .example('$0 sft run.yaml --dry-run', 'What that takes')
    .example('$0 sft run.yaml --set training.learningRate=2e-5 --processes 4', '')
}

type Handler = (load: () => Promise<Run>) => (parsed: Record<string, unknown>) => Promise<void>

const dataCommands =
  (handler: Handler) =>
  (command: Argv): Argv =>
    command
      .command({
        command: 'preview [file]',
        describe: 'Show rows as tokens, with those that are trained marked',
        builder: dataPreviewArguments,
        handler: handler(async () => (await import('./data.js')).runDataPreview),
      })
      .command({
        command: 'prepare [file]',
        describe: 'Tokenize and pack the data of a run into the cache',
        builder: dataPrepareArguments,
        handler: handler(async () => (await import('./data.js')).runDataPrepare),
      })
      .demandCommand(1, 'Name a command: data preview or data prepare')

const dataGroup = 'Instead of the file of a run:'
const dataOptions = {
  set: { type: 'string', describe: 'KEY=VALUE instead of what the file says; once for each', group: 'Run:' },
  model: { type: 'string', describe: 'Checkpoint whose tokenizer and chat template are used', group: dataGroup },
  data: { type: 'string', describe: 'A .jsonl, .json or .parquet file; once for each', group: dataGroup },
  tokenizer: { type: 'string', describe: "Directory of another tokenizer than the model's", group: dataGroup },
  template: { type: 'string', describe: 'chatml, qwen, deepseekr1, llama3 or a .jinja file', group: dataGroup },
  system: { type: 'string', describe: 'System text of rows that have none', group: dataGroup },
  think: { choices: ['target', 'prompt'], describe: 'Where the opening <think> goes', group: dataGroup },
  'missing-think': {
    choices: ['leave', 'target', 'prompt'],
    describe: 'Answers without reasoning',
    group: dataGroup,
  },
  train: { choices: ['assistant', 'all'], describe: 'Tokens with a loss', group: dataGroup },
  'mask-history': { type: 'boolean', describe: 'Train last answers only', group: dataGroup },
  'cutoff-length': { type: 'number', describe: 'Most tokens of a pack', group: dataGroup },
  packing: { choices: ['none', 'pack', 'neat'], describe: 'Examples in one sequence', group: dataGroup },
  validation: { type: 'number', describe: 'Rows to keep out: a part below 1, or a count', group: dataGroup },
  seed: { type: 'number', describe: 'Of validation and weights', group: dataGroup },
  'max-bad-rows': { type: 'number', describe: 'Largest part of rows that may be unusable', group: dataGroup },
  cache: { type: 'string', describe: 'Directory of prepared data', group: dataGroup },
} as const satisfies Record<string, Options>

function dataPreviewArguments(command: Argv): Argv {
  return command
    .positional('file', { type: 'string', describe: 'The run, a .yaml or .json file' })
    .options({
      samples: { type: 'number', describe: 'Rows to show. Default: 1', group: 'Rows:' },
      from: { type: 'string', describe: 'Name of a source. Default: the first', group: 'Rows:' },
      row: { type: 'number', describe: 'Row to begin at, from 0', group: 'Rows:' },
      ...dataOptions,
      json,
    })
    .example('$0 data preview run.yaml', 'The first row of the run')
    .example('$0 data preview run.yaml --from math --row 812', 'The row that a training complained about')
    .example('$0 data preview --model qwen/ --data math.jsonl --template chatml', '')
}

function dataPrepareArguments(command: Argv): Argv {
  return command
    .positional('file', { type: 'string', describe: 'The run, a .yaml or .json file' })
    .options({ ...dataOptions, threads: checkpointOptions.threads, json })
    .example('$0 data prepare run.yaml', 'What sft will train on, into the cache')
    .example('$0 data prepare --model qwen/ --data math.parquet --validation 0.01', '')
}

function initArguments(command: Argv): Argv {
  return command
    .options({
      out: { ...checkpointOptions.out, demandOption: true },
      config: { type: 'string', describe: 'config.json of a Qwen2, Llama or Qwen3 model', group: 'Model:' },
      size: { choices: sizeNames, describe: 'Instead: a small model of about so many parameters', group: 'Model:' },
      family: { choices: families, describe: 'With --size. Default: qwen2', group: 'Model:' },
      tokenizer: { type: 'string', describe: 'Directory of a tokenizer, or its tokenizer.json', group: 'Tokenizer:' },
      'train-tokenizer': {
        type: 'string',
        array: true,
        describe: 'Instead: text files to train one on',
        group: 'Tokenizer:',
      },
      'vocab-size': {
        type: 'number',
        describe: 'Tokens of the trained one',
        implies: 'train-tokenizer',
        group: 'Tokenizer:',
      },
      seed: { type: 'number', describe: 'Decides the weights. Default: 42', group: output },
      dtype: { type: 'string', describe: 'BF16 (default), F16 or F32', group: output },
      json,
    })
    .example('$0 init --size 5m --train-tokenizer a.txt b.txt --vocab-size 4096 --out base/', 'From text alone')
    .example('$0 init --config config.json --tokenizer qwen/ --out base/ --seed 7', '')
}

function exportArguments(command: Argv): Argv {
  return command
    .positional('format', { choices: ['gguf'], demandOption: true, describe: 'Kind of file' })
    .positional('directory', { type: 'string', describe: 'Checkpoint of a Qwen2, Llama or Qwen3 model' })
    .options({
      out: { type: 'string', describe: 'File to write', demandOption: true, group: output },
      dtype: { type: 'string', describe: 'Of the matrices: BF16 (default), F16 or F32', group: output },
      tokenizer: { type: 'string', describe: "Directory of the tokenizer. Default: the checkpoint's", group: output },
      overwrite: { type: 'boolean', describe: 'Replace the file of --out', group: output },
      json,
    })
    .example('$0 export gguf expert/ --out expert.gguf', 'For llama.cpp and what is built on it')
    .example('$0 export gguf merged/ --out merged-f16.gguf --dtype F16', '')
}

function inspectArguments(command: Argv): Argv {
  return command
    .positional('path', { type: 'string', describe: 'Checkpoint: a directory or a .safetensors file' })
    .options({ json })
    .example('$0 inspect merged/', 'Tensors, files, totals and problems')
    .example('$0 inspect model.safetensors --json', '')
}

function reportArguments(command: Argv): Argv {
  return command
    .positional('directory', { type: 'string', describe: 'Directory that branchmerge wrote' })
    .options({
      stats: { type: 'string', describe: 'Instead of a directory: the file of fuse --stats', group: output },
      out: { type: 'string', describe: 'Write a picture to this .svg or .html file', group: output },
      overwrite: { type: 'boolean', describe: 'Replace the file of --out', group: output },
      json,
    })
    .example('$0 report merged/', 'In the terminal')
    .example('$0 report merged/ --out merged.html', 'The picture with a table of every number')
    .example('$0 report --stats stats.jsonl --out merged.svg', '')
}

function doctorArguments(command: Argv): Argv {
  return command.options({ json }).example('$0 doctor', '')
}
