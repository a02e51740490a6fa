import type { Options, PositionalOptions } from 'yargs'
import { families } from '../checkpoint/decoderShape.js'
import { sizeNames } from '../init/modelSizes.js'
import { checkpointOptions, cluster, json, mergeOptions, output, running } from './mergeOptions.js'

/** A command's work, given its arguments; resolves to the exit code. */
export type Run = (args: Record<string, unknown>) => Promise<number>

/** What one command takes, and where its work is. */
export interface Command {
  /** Its name and its arguments, as yargs writes them. */
  usage: string
  describe: string
  positionals: Record<string, PositionalOptions>
  options: Record<string, Options>
  /** Command lines, and what each is for. */
  examples: [line: string, describe?: string][]
  /** Loaded when it runs: only some need the addon. */
  load: (args: Record<string, unknown>) => Promise<Run>
}

/** Commands with a first word in common. */
export interface CommandGroup {
  usage: string
  describe: string
  commands: Command[]
}

const mergedDirectory = { type: 'string', describe: 'Directory that fuse or merge wrote' } as const

const fuse: Command = {
  usage: 'fuse <left> <right>',
  describe: 'Fuse two checkpoints into a new one',
  positionals: {
    left: { type: 'string', describe: 'Checkpoint: a directory or a .safetensors file' },
    right: { type: 'string', describe: 'Checkpoint of the same shape, whose changes are added' },
  },
  options: {
    ...checkpointOptions,
    out: { ...checkpointOptions.out, demandOption: true },
    preset: { ...checkpointOptions.preset, default: 'arcee' },
  },
  examples: [
    ['fuse math/ code/ --out merged/', 'Two fine-tunes into one'],
    ['fuse math/ code/ --out merged/ --plan', 'What that reads, writes and needs'],
    ['fuse a.safetensors b.safetensors --out merged/ --lambda 2 --stats stats.jsonl'],
  ],
  load: async () => (await import('./fuse.js')).runFuse,
}

const merge: Command = {
  usage: 'merge [source]',
  describe: 'Merge any number of checkpoints, by an expression or a recipe',
  positionals: {
    source: { type: 'string', describe: 'An expression, or the .yaml or .json file of a recipe or mergekit' },
  },
  options: mergeOptions,
  examples: [
    ["merge '(math & science) & coding' --model math=a/ --model science=b/ --model coding=c/ --out d/"],
    ['merge mergekit.yml --out merged/', "As mergekit's configuration says"],
    ['merge recipe.yaml --out merged/ --plan', 'What that reads, writes and needs'],
    ['merge recipe.yaml --out merged/ --slurm --time 1:00:00 --cpus 16', 'On a cluster'],
  ],
  load: async ({ slurm, shard }) => {
    if (slurm) return (await import('./mergeSlurm.js')).runMergeSlurm
    if (shard !== undefined) return (await import('./mergeShard.js')).runMergeShard
    return (await import('./merge.js')).runMerge
  },
}

const finish: Command = {
  usage: 'finish <directory>',
  describe: 'Make one checkpoint of the parts that merge --shard wrote',
  positionals: { directory: { type: 'string', describe: 'The --out of the parts' } },
  options: { json },
  examples: [['finish merged/']],
  load: async () => (await import('./finish.js')).runFinish,
}

const { out: outDirectory, stats: _, plan: __, ...optionsOfRuns } = checkpointOptions

const batch: Command = {
  usage: 'batch <files..>',
  describe: 'Run recipes, reading shared models once; skip finished ones',
  positionals: { files: { type: 'string', array: true, describe: 'Files of recipes' } },
  options: {
    model: mergeOptions.model,
    sha256: mergeOptions.sha256,
    out: { ...outDirectory, describe: 'Directory in which each recipe gets one, named as its file' },
    ...optionsOfRuns,
  },
  examples: [['batch sweep/*.yaml --model math=a/ --model science=b/ --out merged/', 'Into merged/RECIPE for each']],
  load: async () => (await import('./batch.js')).runBatch,
}

const verify: Command = {
  usage: 'verify <directory>',
  describe: 'Check a merged directory against its manifest',
  positionals: { directory: mergedDirectory },
  options: { threads: checkpointOptions.threads, json },
  examples: [['verify merged/', 'Reads it once; exits with 1 if something differs']],
  load: async () => (await import('./verify.js')).runVerify,
}

const reproduce: Command = {
  usage: 'reproduce <directory>',
  describe: 'Make a merged directory again from its manifest, byte for byte',
  positionals: { directory: mergedDirectory },
  options: {
    model: mergeOptions.model,
    out: { ...outDirectory, demandOption: true },
    overwrite: checkpointOptions.overwrite,
    card: checkpointOptions.card,
    resume: checkpointOptions.resume,
    threads: checkpointOptions.threads,
    device: checkpointOptions.device,
    memory: checkpointOptions.memory,
    json,
  },
  examples: [['reproduce merged/ --model left=a/ --model right=b/ --out again/']],
  load: async () => (await import('./reproduce.js')).runReproduce,
}

const convert: Command = {
  usage: 'convert <file>',
  describe: 'Turn a configuration of mergekit into a recipe, one of LLaMA-Factory into a run',
  positionals: { file: { type: 'string', describe: "mergekit's or LLaMA-Factory's YAML" } },
  options: {
    out: { type: 'string', describe: 'Write the recipe or run to this file', group: output },
    overwrite: { type: 'boolean', describe: 'Replace the file of --out', group: output },
    json,
  },
  examples: [['convert mergekit.yml --out recipe.yaml'], ['convert llama_factory.yaml --out run.yaml']],
  load: async () => (await import('./convert.js')).runConvert,
}

const set = {
  type: 'string',
  describe: 'KEY=VALUE overrides a value of the file; repeatable',
  group: 'Run:',
} as const

const sft: Command = {
  usage: 'sft <file>',
  describe: 'Fine-tune a checkpoint into an expert',
  positionals: { file: { type: 'string', describe: 'The run, a .yaml or .json file' } },
  options: {
    set,
    resume: { type: 'boolean', describe: 'Continue an interrupted run', group: 'Run:' },
    plan: { type: 'boolean', describe: 'Show what would be done and the command lines; train nothing', group: 'Run:' },
    'gradients-out': {
      type: 'string',
      describe: 'Instead of training: write the gradient of the model on a batch of the data to this directory',
      conflicts: ['resume', 'plan', 'slurm', 'srun', 'processes'],
      group: 'Run:',
    },
    'gradient-packs': {
      type: 'number',
      describe: 'Packs of that batch. Default: 32',
      implies: 'gradients-out',
      group: 'Run:',
    },
    card: { type: 'boolean', describe: 'Write README.md, a model card; --no-card writes none', group: 'Run:' },
    processes: { type: 'number', describe: 'As launcher.processes', group: cluster },
    slurm: { type: 'boolean', describe: 'Submit a job to Slurm and follow it', group: cluster },
    detach: { type: 'boolean', describe: 'Do not follow it', implies: 'slurm', group: cluster },
    srun: { type: 'boolean', describe: 'Start with srun, inside an allocation', conflicts: 'slurm', group: cluster },
    json,
  },
  examples: [
    ['sft run.yaml', 'Trains; the expert is in the output of the run'],
    ['sft run.yaml --plan', 'What that takes'],
    ['sft run.yaml --set training.learningRate=2e-5 --processes 4'],
    ['sft run.yaml --gradients-out gradients/math', 'For analyse --gradient'],
  ],
  load: async ({ slurm, 'gradients-out': gradient }) => {
    if (gradient !== undefined) return (await import('./sftGradient.js')).runSftGradient
    return slurm ? (await import('./sftSlurm.js')).runSftSlurm : (await import('./sft.js')).runSft
  },
}

const runFile = { file: { type: 'string', describe: 'The run, a .yaml or .json file' } } as const
const dataGroup = 'Instead of the file of a run:'
const dataOptions = {
  set,
  model: { type: 'string', describe: 'Checkpoint whose tokenizer and chat template are used', group: dataGroup },
  data: { type: 'string', describe: 'A .jsonl, .json or .parquet file; repeatable', group: dataGroup },
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
  'excess-length-strategy': {
    choices: ['truncate', 'drop'],
    describe: 'Rows that are too long',
    group: dataGroup,
  },
  packing: { choices: ['none', 'pack', 'neat'], describe: 'Examples in one sequence', group: dataGroup },
  validation: { type: 'number', describe: 'Validation rows: a fraction below 1, or a count', group: dataGroup },
  seed: { type: 'number', describe: 'Of validation and weights', group: dataGroup },
  'max-bad-rows': { type: 'number', describe: 'Largest fraction of rows that may be unusable', group: dataGroup },
  cache: { type: 'string', describe: 'Directory of prepared data', group: dataGroup },
} as const satisfies Record<string, Options>

const selecting = 'Selection:'

const select: Command = {
  usage: 'select <recipe>',
  describe: 'Choose training data from data sets by a recipe',
  positionals: { recipe: { type: 'string', describe: 'The selection, a .yaml or .json file' } },
  options: {
    out: { type: 'string', describe: 'The .parquet or .jsonl file to write', demandOption: true, group: output },
    overwrite: { type: 'boolean', describe: 'Replace the files of --out', group: output },
    limit: { type: 'number', describe: 'Read only the first rows of each source', group: selecting },
    seed: { type: 'number', describe: "Of all random choices. Default: the recipe's, or 0", group: selecting },
    tokenizer: { type: 'string', describe: "Directory of the student's tokenizer", group: selecting },
    set: { ...set, group: selecting },
    threads: { ...checkpointOptions.threads, describe: 'Of steps that use several. Default: all cores, at most 16' },
    plan: { type: 'boolean', describe: 'Show what the recipe is understood as; write nothing', group: running },
    json,
  },
  examples: [
    ['data select math.yaml --out math.parquet', 'For the sources of sft; rejected rows and a funnel lie beside it'],
    ['data select math.yaml --out math.parquet --plan', 'Files, columns, the first row, and the steps'],
    ['data select math.yaml --out some.jsonl --limit 1000', 'The first thousand rows of each source'],
  ],
  load: async () => (await import('./dataSelect.js')).runDataSelect,
}

const data: CommandGroup = {
  usage: 'data',
  describe: 'Select training data, look at it as tokens, or prepare it',
  commands: [
    {
      usage: 'preview [file]',
      describe: 'Show rows as tokens, with those that are trained marked',
      positionals: runFile,
      options: {
        samples: { type: 'number', describe: 'Rows to show. Default: 1', group: 'Rows:' },
        from: { type: 'string', describe: 'Name of a source. Default: the first', group: 'Rows:' },
        row: { type: 'number', describe: 'Row to begin at, from 0', group: 'Rows:' },
        ...dataOptions,
        json,
      },
      examples: [
        ['data preview run.yaml', 'The first row of the run'],
        ['data preview run.yaml --from math --row 812', 'The row that a training complained about'],
        ['data preview --model qwen/ --data math.jsonl --template chatml'],
      ],
      load: async () => (await import('./data.js')).runDataPreview,
    },
    {
      usage: 'prepare [file]',
      describe: 'Tokenize and pack the data of a run into the cache',
      positionals: runFile,
      options: { ...dataOptions, threads: checkpointOptions.threads, json },
      examples: [
        ['data prepare run.yaml', 'What sft will train on, into the cache'],
        ['data prepare --model qwen/ --data math.parquet --validation 0.01'],
      ],
      load: async () => (await import('./data.js')).runDataPrepare,
    },
    select,
  ],
}

const init: Command = {
  usage: 'init',
  describe: 'Make a checkpoint of random weights to train from nothing',
  positionals: {},
  options: {
    out: { ...outDirectory, demandOption: true },
    config: { type: 'string', describe: 'config.json of a Qwen2, Llama or Qwen3 model, or org/name', group: 'Model:' },
    size: { choices: sizeNames, describe: 'Instead of --config: a small model of about this size', group: 'Model:' },
    family: { choices: families, describe: 'With --size. Default: qwen2', group: 'Model:' },
    tokenizer: {
      type: 'string',
      describe: 'Directory of a tokenizer or org/name, or a tokenizer.json',
      group: 'Tokenizer:',
    },
    'train-tokenizer': {
      type: 'string',
      array: true,
      describe: 'Instead: text files to train one on',
      group: 'Tokenizer:',
    },
    'vocab-size': {
      type: 'number',
      describe: 'Tokens of the trained one, 259 or more',
      implies: 'train-tokenizer',
      group: 'Tokenizer:',
    },
    seed: { type: 'number', describe: 'Decides the weights. Default: 42', group: output },
    dtype: { type: 'string', describe: 'BF16 (default), F16 or F32', group: output },
    json,
  },
  examples: [
    ['init --size 5m --train-tokenizer a.txt b.txt --vocab-size 4096 --out base/', 'From text alone'],
    ['init --config config.json --tokenizer qwen/ --out base/ --seed 7'],
  ],
  load: async () => (await import('./init.js')).runInit,
}

const exportGguf: Command = {
  usage: 'export <format> <directory>',
  describe: 'Write a checkpoint as a GGUF file for llama.cpp',
  positionals: {
    format: { choices: ['gguf'], describe: 'Kind of file' },
    directory: { type: 'string', describe: 'Checkpoint of a Qwen2, Llama or Qwen3 model' },
  },
  options: {
    out: { type: 'string', describe: 'File to write', demandOption: true, group: output },
    dtype: { type: 'string', describe: 'Dtype of the matrices: BF16 (default), F16 or F32', group: output },
    tokenizer: { type: 'string', describe: "Directory of the tokenizer. Default: the checkpoint's", group: output },
    overwrite: { type: 'boolean', describe: 'Replace the file of --out', group: output },
    json,
  },
  examples: [
    ['export gguf expert/ --out expert.gguf', 'For llama.cpp and what is built on it'],
    ['export gguf merged/ --out merged-f16.gguf --dtype F16'],
  ],
  load: async () => (await import('./exportGguf.js')).runExportGguf,
}

const push: Command = {
  usage: 'push <directory> <repository>',
  describe: 'Send a checkpoint to the Hugging Face Hub',
  positionals: {
    directory: { type: 'string', describe: 'Checkpoint: what fuse, merge or sft wrote, or another' },
    repository: { type: 'string', describe: 'org/name; it is made where it is not there' },
  },
  options: {
    private: { type: 'boolean', describe: 'Make a new repository private', group: 'Hub:' },
    revision: { type: 'string', describe: 'Branch, made where it is not there. Default: main', group: 'Hub:' },
    json,
  },
  examples: [
    ['push merged/ org/merged --private', 'Sends what the Hub does not have, and then commits'],
    ['push merged/ org/merged --revision lambda-2', 'To a branch'],
  ],
  load: async () => (await import('./push.js')).runPush,
}

const inspect: Command = {
  usage: 'inspect <path>',
  describe: 'Validate a checkpoint and list its tensors',
  positionals: { path: { type: 'string', describe: 'Checkpoint: a directory or a .safetensors file' } },
  options: { json },
  examples: [['inspect merged/', 'Tensors, files, totals and problems'], ['inspect model.safetensors --json']],
  load: async () => (await import('./inspect.js')).runInspect,
}

const analyse: Command = {
  usage: 'analyse <base>',
  describe: 'Compare the changes of experts with each other and with a merge',
  positionals: { base: { type: 'string', describe: 'Checkpoint that the experts were trained from' } },
  options: {
    expert: { type: 'string', describe: 'NAME=PATH of an expert; once for each', group: 'Inputs:' },
    merged: { type: 'string', describe: 'What was merged from them', group: 'Inputs:' },
    gradient: {
      type: 'string',
      describe: 'NAME=PATH of what sft --gradients-out wrote for a domain; once for each',
      group: 'Inputs:',
    },
    out: { type: 'string', describe: 'Directory for tables and heat maps', group: output },
    overwrite: { type: 'boolean', describe: 'Replace files of the same names in --out', group: output },
    plan: { type: 'boolean', describe: 'Show what would be read and read nothing', group: output },
    threads: checkpointOptions.threads,
    memory: checkpointOptions.memory,
    json,
  },
  examples: [
    ['analyse base/ --expert math=a/ --expert science=b/ --out analysis/', 'How alike their changes are'],
    ['analyse base/ --expert math=a/ --expert science=b/ --merged c/ --out analysis/', 'And what survives in c/'],
    ['analyse base/ --gradient math=ga/ --gradient science=gb/', 'Whether the domains pull apart'],
  ],
  load: async () => (await import('./analyse.js')).runAnalyse,
}

const report: Command = {
  usage: 'report [directory]',
  describe: 'Draw what was taken from Right, by layer and kind of weight',
  positionals: { directory: mergedDirectory },
  options: {
    stats: {
      type: 'string',
      describe: 'A file of fuse --stats or merge --stats, not a directory',
      group: output,
    },
    out: { type: 'string', describe: 'Write a picture to this .svg or .html file', group: output },
    overwrite: { type: 'boolean', describe: 'Replace the file of --out', group: output },
    json,
  },
  examples: [
    ['report merged/', 'In the terminal'],
    ['report merged/ --out merged.html', 'The picture with a table of every number'],
    ['report --stats stats.jsonl --out merged.svg'],
  ],
  load: async () => (await import('./report.js')).runReport,
}

const evaluationGroup = 'Instead of the file, or besides it:'
const profile = { choices: ['strict', 'paper'], describe: "strict: graded right; paper: as the authors' code" } as const
const sandboxLevel = {
  type: 'number',
  describe: 'The least safety, 0 to 3, at which programs of models are run. Default: 2',
} as const

const evaluate: Command = {
  usage: 'evaluate [file]',
  describe: 'Ask models the questions of benchmarks, and grade the answers',
  positionals: { file: { type: 'string', describe: 'The evaluation, a .yaml or .json file' } },
  options: {
    model: { type: 'string', describe: 'NAME=DIRECTORY or NAME=URL#MODEL; repeatable', group: evaluationGroup },
    benchmark: { type: 'string', describe: 'FILE or NAME=FILE; repeatable', group: evaluationGroup },
    out: { type: 'string', describe: 'Directory of answers and grades', group: evaluationGroup },
    trials: { type: 'number', describe: "Answers to each question. Default: the benchmark's", group: evaluationGroup },
    limit: { type: 'number', describe: 'Ask only the first questions', group: evaluationGroup },
    seed: { type: 'number', describe: 'Of requests and shuffles. Default: 0', group: evaluationGroup },
    profile: { ...profile, group: evaluationGroup },
    temperature: { type: 'number', describe: 'Default: 0.6', group: evaluationGroup },
    'top-p': { type: 'number', describe: 'Default: 0.95', group: evaluationGroup },
    'max-tokens': { type: 'number', describe: 'Of an answer. Default: 32768', group: evaluationGroup },
    'max-tokens-total': { type: 'number', describe: 'Stop before more are used in all', group: evaluationGroup },
    'max-cost': {
      type: 'number',
      describe: 'Stop before more is spent, by prices in the file',
      group: evaluationGroup,
    },
    'sandbox-level': { ...sandboxLevel, group: evaluationGroup },
    set: { ...set, group: evaluationGroup },
    resume: { type: 'boolean', describe: 'Continue or extend an evaluation', group: running },
    plan: { type: 'boolean', describe: 'Show how much would be asked and ask nothing', group: running },
    json,
  },
  examples: [
    ['evaluate --model math=experts/math --model merged=merged --benchmark questions.jsonl --trials 4 --out results'],
    ['evaluate --model r1=http://localhost:8000/v1#r1 --benchmark aime24=aime_2024.parquet --out results'],
    ['evaluate evaluation.yaml --resume', 'Asks only for what is missing'],
  ],
  load: async () => (await import('./evaluate.js')).runEvaluate,
}

const evaluationDirectory = { type: 'string', describe: 'The --out of evaluate' } as const

const regrade: Command = {
  usage: 'regrade <directory>',
  describe: 'Grade the stored answers of an evaluation again',
  positionals: { directory: evaluationDirectory },
  options: {
    profile: { ...profile, group: running },
    'sandbox-level': { ...sandboxLevel, group: running },
    json,
  },
  examples: [
    ['regrade results', 'With the graders of this version'],
    ['regrade results --profile paper', "As the code of the paper's authors grades"],
  ],
  load: async () => (await import('./regrade.js')).runRegrade,
}

const comparing = 'Comparison:'

const compare: Command = {
  usage: 'compare <directories..>',
  describe: 'Tables, figures and a page of what evaluations found',
  positionals: { directories: { ...evaluationDirectory, array: true } },
  options: {
    baseline: { type: 'string', describe: 'Model that all others are compared with', group: comparing },
    merged: { type: 'string', describe: 'The merged model. Default: the last', group: comparing },
    expert: { type: 'string', describe: 'What it was merged from; repeatable. Default: the others', group: comparing },
    samples: { type: 'number', describe: 'Of each bootstrap. Default: 10000', group: comparing },
    seed: { type: 'number', describe: 'Of the bootstrap. Default: 0', group: comparing },
    out: { type: 'string', describe: 'Directory to write. Default: report in the first one', group: output },
    json,
  },
  examples: [
    ['compare results --baseline base', 'Gains and losses against base, with intervals'],
    ['compare results other-results --baseline base --merged merged --out report'],
  ],
  load: async () => (await import('./compare.js')).runCompare,
}

const asking = 'Asking:'
const batching = 'Batch API, instead of calling:'

const teach: Command = {
  usage: 'teach <source>',
  describe: 'Let a teacher answer questions, and keep what is right as training data',
  positionals: {
    source: { type: 'string', describe: 'Questions: .jsonl, .json or .parquet; or a teaching, a .yaml file' },
  },
  options: {
    server: { type: 'string', describe: 'URL of a server that has the teacher; repeatable', group: asking },
    model: {
      type: 'string',
      describe: 'Its name there; without a server, the directory of a checkpoint',
      group: asking,
    },
    out: { type: 'string', describe: 'File of trajectories, .jsonl', group: output },
    reasoning: {
      choices: ['think', 'field'],
      describe: 'Reasoning as <think> (default) or reasoning_content',
      group: output,
    },
    answers: { type: 'number', describe: 'Answers to each question. Default: 1', group: asking },
    'until-correct': { type: 'number', describe: 'Instead: ask until so many are accepted', group: asking },
    attempts: { type: 'number', describe: 'With --until-correct: answers at most. Default: 8', group: asking },
    limit: { type: 'number', describe: 'Ask only the first questions', group: asking },
    grader: { type: 'string', describe: 'Of rows that name none: math, choice, exact, ...', group: asking },
    seed: { type: 'number', describe: 'Of requests and shuffles. Default: 0', group: asking },
    temperature: { type: 'number', describe: 'Default: 0.6', group: asking },
    'top-p': { type: 'number', describe: 'Default: 0.95', group: asking },
    'max-tokens': { type: 'number', describe: 'Of an answer. Default: 32768', group: asking },
    'max-requests': { type: 'number', describe: 'Stop before more answers are asked for', group: 'Budget:' },
    'max-tokens-total': { type: 'number', describe: 'Stop before more are used in all', group: 'Budget:' },
    'max-cost': { type: 'number', describe: 'Stop before more is spent, by --price', group: 'Budget:' },
    price: { type: 'string', describe: 'INPUT,OUTPUT: money for a million tokens', group: 'Budget:' },
    'sandbox-level': { ...sandboxLevel, group: asking },
    set: { ...set, group: asking },
    'write-batch': { type: 'string', describe: 'Write requests into this new directory', group: batching },
    'read-batch': { type: 'string', array: true, describe: 'Read answers and errors from files', group: batching },
    resume: { type: 'boolean', describe: 'Continue or extend a teaching', group: running },
    plan: { type: 'boolean', describe: 'Show how much would be asked and ask nothing', group: running },
    json,
  },
  examples: [
    ['teach questions.jsonl --server http://localhost:8000/v1 --model r1 --out math.jsonl --until-correct 1'],
    ['teach questions.jsonl --model teacher/ --answers 4 --max-tokens 2048 --out math.jsonl', 'A checkpoint teaches'],
    ['teach teaching.yaml --resume', 'Asks only for what is missing'],
    ['teach questions.jsonl --model gpt --write-batch requests/ --out math.jsonl', 'For a batch API'],
    ['teach questions.jsonl --model gpt --read-batch output.jsonl --out math.jsonl', 'What it answered'],
  ],
  load: async () => (await import('./teach.js')).runTeach,
}

const run: Command = {
  usage: 'run <file>',
  describe: 'Run a pipeline: select, teach, train, merge, evaluate and compare by one file',
  positionals: { file: { type: 'string', describe: 'The pipeline, a .yaml or .json file' } },
  options: {
    out: { type: 'string', describe: "Directory of the steps' outputs, in place of the file's", group: output },
    set: { ...set, group: running },
    only: { type: 'string', describe: 'Run this step alone; repeatable', group: 'Steps:' },
    from: { type: 'string', describe: 'Run this step and what hangs on it; repeatable', group: 'Steps:' },
    until: { type: 'string', describe: 'Run this step and what it hangs on; repeatable', group: 'Steps:' },
    resume: { type: 'boolean', describe: 'Keep what is done, run the rest and what has changed', group: running },
    plan: { type: 'boolean', describe: 'Show what is done, what would run and why; run nothing', group: running },
    json,
  },
  examples: [
    ['run pipeline.yaml'],
    ['run pipeline.yaml --plan', 'What is done, what would run and why'],
    ['run pipeline.yaml --resume', 'After a change, an error or kill -9'],
    ['run pipeline.yaml --resume --until merged', 'No further than the step merged'],
    ['run pipeline.yaml --resume --set steps.merged.merge.options.lambda=2'],
  ],
  load: async () => (await import('./run.js')).runRun,
}

const doctor: Command = {
  usage: 'doctor',
  describe: 'Show what this build and machine can do',
  positionals: {},
  options: { json },
  examples: [['doctor']],
  load: async () => (await import('./doctor.js')).runDoctor,
}

/** All commands, in the order of the help. */
export const commands: readonly (Command | CommandGroup)[] = [
  fuse,
  merge,
  finish,
  batch,
  verify,
  reproduce,
  analyse,
  report,
  inspect,
  convert,
  sft,
  data,
  teach,
  evaluate,
  regrade,
  compare,
  run,
  init,
  exportGguf,
  push,
  doctor,
]

/** `fuse` of `fuse <left> <right>` */
export const nameOf = ({ usage }: Command | CommandGroup): string => usage.split(' ')[0] as string
