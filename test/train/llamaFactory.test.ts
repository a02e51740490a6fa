import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { recipeObject } from '../../lib/recipe/recipe.js'
import { toRun } from '../../lib/train/llamaFactory/toRun.js'
import { resolveRun } from '../../lib/train/resolveRun.js'
import { trainingPresets } from '../../lib/train/trainingPresets.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

/** The arguments that train/run.sh of Qihoo360/TinyR1-32B-Preview gives to train.py, as the YAML they are the same as. */
const published = (
  directory: string,
  domain: { dataset: string; accumulation: number; schedule: string; epochs: number; packing: string },
) => `
stage: sft
do_train: true
model_name_or_path: /model/DeepSeek-R1-Distill-Qwen-32B
dataset_dir: ${directory}
dataset: ${domain.dataset}
template: qwen
finetuning_type: full
output_dir: model_output/branch
cache_dir: .cache
overwrite_cache: true
overwrite_output_dir: true
cutoff_len: 16384
per_device_train_batch_size: 1
gradient_accumulation_steps: ${domain.accumulation}
lr_scheduler_type: ${domain.schedule}
adam_beta1: 0.9
adam_beta2: 0.95
adam_epsilon: 1e-8
max_grad_norm: 1.0
weight_decay: 0.01
warmup_ratio: 0.1
logging_steps: 1
save_strategy: steps
save_steps: 200
learning_rate: 1e-5
num_train_epochs: ${domain.epochs}
plot_loss: true
save_only_model: True
deepspeed: 360-LLaMA-Factory/examples/deepspeed/ds_z3_config.json
bf16: True
flash_attn: fa2
gradient_checkpointing: True
seed: 42
sequence_parallel_size: 1
preprocessing_num_workers: 64
enable_liger_kernel: true
${domain.packing}
`

const info = {
  math: { file_name: 'math.json', formatting: 'sharegpt', columns: { messages: 'conversations' } },
  code: { file_name: 'code.json', columns: { prompt: 'instruction', query: 'input', response: 'output' } },
  openai: {
    file_name: 'openai.jsonl',
    formatting: 'sharegpt',
    columns: { messages: 'messages' },
    tags: { role_tag: 'role', content_tag: 'content', user_tag: 'user', assistant_tag: 'assistant' },
    num_samples: 100,
  },
  hub: { ms_hub_url: 'someone/something' },
}

function datasets(): string {
  const directory = join(temporaryDirectory(), 'data')
  mkdirSync(directory)
  writeFileSync(join(directory, 'dataset_info.json'), JSON.stringify(info))
  return directory
}

const domains = [
  [
    'tinyr1-math',
    { dataset: 'math', accumulation: 3, schedule: 'constant_with_warmup', epochs: 5, packing: 'packing: True' },
  ],
  [
    'tinyr1-science',
    {
      dataset: 'math,code',
      accumulation: 1,
      schedule: 'cosine',
      epochs: 5,
      packing: 'neat_packing: True\npacking: True',
    },
  ],
  [
    'tinyr1-coding',
    {
      dataset: 'code',
      accumulation: 3,
      schedule: 'constant_with_warmup',
      epochs: 15,
      packing: 'neat_packing: True\npacking: True',
    },
  ],
] as const

describe('the published commands', () => {
  test.each(domains)('of %s are its preset', async (name, domain) => {
    const directory = datasets()
    const { run, notes } = await toRun(published(directory, domain), 'lf.yaml')
    const { data, training } = trainingPresets[name]
    // The YAML does not say with which Transformers it ran.
    const { lossNormalization: _, ...said } = training
    expect(run.training).toMatchObject(said)
    expect(run.data).toMatchObject({ ...data, template: 'qwen', train: 'assistant', packingBatch: 1000 })
    expect(run.data.sources.map((source) => (source as { name: string }).name)).toEqual(domain.dataset.split(','))
    expect([run.model, run.output]).toEqual(['/model/DeepSeek-R1-Distill-Qwen-32B', resolve('model_output/branch')])
    expect(notes.join('\n')).toContain('template qwen is that of LLaMA-Factory 0.9.1')
    const ignored = notes.find((note) => note.startsWith('Without effect here: ')) as string
    for (const key of ['flash_attn', 'bf16', 'enable_liger_kernel', 'save_only_model', 'overwrite_cache']) {
      expect(ignored).toContain(key)
    }
    expect(notes).toContain('Of deepspeed only the stage is taken, zeroStage 3')
    // What comes out is a run.
    expect(resolveRun(recipeObject(run)).training.learningRate).toBe(1e-5)
  })
})

const minimal = (directory: string, more = '') =>
  `model_name_or_path: base\nstage: sft\nfinetuning_type: full\noutput_dir: out\ndataset: math\ndataset_dir: ${directory}\n${more}`

describe('a configuration', () => {
  test('lists switches that are off as without effect, but not misspelt ones that count', async () => {
    const off = 'use_badam: false\nuse_unsloth: false\npush_to_hub: False\n'
    const { notes } = await toRun(minimal(datasets(), off), 'lf.yaml')
    expect(notes).toContain('Without effect here: use_badam, use_unsloth, push_to_hub')
    const misspelt = minimal(datasets(), 'train_on_promt: false\nuse_badam: true\n')
    await expect(toRun(misspelt, 'lf.yaml')).rejects.toThrow(
      /train_on_promt is not supported, or did you mean train_on_prompt\?\n.*use_badam is not supported/,
    )
  })

  test('that leaves things to LLaMA-Factory has its defaults written down', async () => {
    const { run } = await toRun(minimal(datasets()), 'lf.yaml')
    const inHome = minimal(datasets()).replace(/^(model_name_or_path|output_dir): .*$/gm, '$1: ~/$1')
    const { model, output } = (await toRun(inHome, 'lf.yaml')).run
    expect([model, output]).toEqual([join(homedir(), 'model_name_or_path'), join(homedir(), 'output_dir')])
    expect(run.training).toEqual({
      numTrainEpochs: 3,
      perDeviceTrainBatchSize: 8,
      gradientAccumulationSteps: 1,
      learningRate: 5e-5,
      lrSchedulerType: 'linear',
      warmupRatio: 0,
      adamBeta1: 0.9,
      adamBeta2: 0.999,
      adamEpsilon: 1e-8,
      weightDecay: 0,
      maxGradNorm: 1,
      seed: 42,
      recompute: 'full',
      saveSteps: 500,
      evalSteps: null,
    })
    expect(run.data).toMatchObject({ cutoffLength: 2048, packing: 'none', template: 'checkpoint', train: 'assistant' })
  })

  test('with columns and tags has those of our sources', async () => {
    const directory = datasets()
    const { run } = await toRun(minimal(directory, 'max_samples: 40').replace('math', 'openai, code'), 'lf.yaml')
    expect(run.data.sources).toEqual([
      {
        path: join(directory, 'openai.jsonl'),
        name: 'openai',
        format: 'sharegpt',
        columns: { conversations: 'messages' },
        tags: { role: 'role', content: 'content', user: 'user', assistant: 'assistant' },
        take: 40,
      },
      {
        path: join(directory, 'code.json'),
        name: 'code',
        format: 'alpaca',
        columns: { instruction: 'instruction', input: 'input', output: 'output' },
        take: 40,
      },
    ])
  })

  test('that asks for what is not done here is refused, key by key, with lines', async () => {
    const directory = datasets()
    const text = minimal(
      directory,
      'lora_rank: 8\nlearning_rat: 1e-5\ntemplate: baichuan\nnum_train_epochs: 1.5\nuse_dft_loss: true\n',
    )
      .replace('finetuning_type: full', 'finetuning_type: lora')
      .replace('dataset: math', 'dataset: maths,hub')
    const error = await toRun(text, 'lf.yaml').catch((caught) => caught)
    expect(error.code).toBe('ERR_RECIPE')
    expect(error.message.split('\n')).toEqual([
      'lf.yaml has 8 problems:',
      '  lf.yaml:3:18: finetuning_type "lora" is not supported: all weights are trained here (full): there are no adapters',
      `  lf.yaml:5:10: There is no maths in ${directory}/dataset_info.json: did you mean math?`,
      `  lf.yaml:5:10: hub of ${directory}/dataset_info.json: Expected a file_name, or hf_hub_url with a name on the Hugging Face Hub`,
      '  lf.yaml:7:1: lora_rank is not supported',
      '  lf.yaml:8:1: learning_rat is not supported, or did you mean learning_rate?',
      '  lf.yaml:9:11: template "baichuan" is not supported: expected one of qwen, qwen3, chatml, llama3, deepseek3, deepseekr1, or none for the checkpoint\'s',
      '  lf.yaml:10:19: num_train_epochs 1.5 is not supported: whole epochs, or max_steps',
      '  lf.yaml:11:15: use_dft_loss true is not supported: the loss is cross-entropy',
    ])
  })

  test('without dataset_info.json is refused', async () => {
    await expect(toRun(`${minimal('/nowhere')}quantization_bit: 4\n`, 'lf.yaml')).rejects.toMatchObject({
      code: 'ERR_RECIPE',
      message: expect.stringMatching(/\/nowhere\/dataset_info\.json, which says[\s\S]*quantization_bit/),
    })
  })
})

test('convert writes the run, with notes above it', async () => {
  const directory = datasets()
  const [file, out] = [join(directory, 'lf.yaml'), join(directory, 'run.yaml')]
  writeFileSync(file, minimal(directory, 'bf16: true\n'))
  const { code, stdout } = await runCommand(['convert', file, '--out', out])
  expect([code, stdout]).toEqual([0, expect.stringContaining(`The run is in ${out}\nWithout effect here: bf16`)])
  const text = readFileSync(out, 'utf8')
  expect(text).toMatch(/^# Without effect here: bf16/)
  expect(parse(text)).toMatchObject({ model: resolve('base'), training: { learningRate: 5e-5 } })
})
