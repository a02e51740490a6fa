import { resolve } from 'node:path'
import type { DataOptions, DataSource } from '../../data/options.js'
import { readSmallFile } from '../../files/readSmallFile.js'
import { isHubName, placeFromFile } from '../../hub/hubName.js'
import { pathFromFile } from '../../pathFromFile.js'
import { Problems } from '../../recipe/problems.js'
import { readYaml } from '../../recipe/readYaml.js'
import { isMapping, nearestName } from '../../validate.js'
import type { RunOptions } from '../runOptions.js'
import type { TrainingOptions } from '../trainingOptions.js'
import { datasetSources } from './datasetInfo.js'
import { numberKeys, requiredValues, translatedKeys, withoutEffect } from './keys.js'

export interface RunConversion {
  run: RunOptions
  /** What has no effect here, and what is done otherwise, in words. */
  notes: string[]
}

/** Templates by LLaMA-Factory's names. `note`: what differs. */
const templates: Record<string, { template: string; missingThink?: DataOptions['missingThink']; note?: string }> = {
  qwen: {
    template: 'qwen',
    note: 'template qwen is that of LLaMA-Factory 0.9.1, which TinyR1 used: later versions have another system text',
  },
  qwen3: { template: 'chatml', missingThink: 'target' },
  chatml: { template: 'chatml' },
  llama3: { template: 'llama3' },
  deepseek3: { template: 'deepseekr1', missingThink: 'leave' },
  deepseekr1: { template: 'deepseekr1', missingThink: 'target' },
}

const schedules = ['constant', 'constant_with_warmup', 'cosine', 'linear'] as const

/**
 * Translates a training configuration of LLaMA-Factory to a run. Every hyperparameter is written down, those that it leaves to
 * LLaMA-Factory or Transformers with their defaults. Paths, which start from the working directory there, become absolute.
 *
 * @throws ERR_RECIPE naming every key that is not supported, each with its line, and a dataset_info.json that is not there;
 *   ERR_FILE_READ when that cannot be read
 */
export async function toRun(text: string, file: string): Promise<RunConversion> {
  const [document] = readYaml(text, file)
  const problems = new Problems(file, document?.locate ?? (() => ({ text: file, order: 0 })))
  const given = isMapping(document?.value) ? document.value : {}
  const conversion = await new Translation(given, problems).translate()
  problems.throwIfAny()
  return conversion
}

class Translation {
  private readonly notes: string[] = []

  constructor(
    private readonly given: Record<string, unknown>,
    private readonly problems: Problems,
  ) {}

  async translate(): Promise<RunConversion> {
    this.checkKeys()
    const run: RunOptions = {
      model: this.model(),
      output: resolve(pathFromFile(this.text('output_dir'), '.')),
      data: await this.data(),
      training: await this.training(),
    }
    this.notes.push(
      'Transformers before 4.46, which TinyR1 used, averages the loss of each micro-batch: training.lossNormalization micro_mean',
      'The file does not give the number of processes, which sets the packs of a step: see launcher.processes',
    )
    return { run, notes: this.notes }
  }

  private model(): string {
    const name = this.text('model_name_or_path')
    const revision = this.given.model_revision === undefined ? 'main' : this.text('model_revision')
    const place = placeFromFile(revision === 'main' ? name : `${name}@${revision}`, '.', 'model')
    if (isHubName(place)) return place
    if (revision !== 'main')
      this.problem('model_revision', `Expected a model of the Hub for model_revision, not ${name}`)
    return resolve(pathFromFile(name, '.'))
  }

  private checkKeys(): void {
    const known = [...translatedKeys, ...Object.keys(requiredValues), ...withoutEffect]
    const ignored: string[] = []
    for (const [key, value] of Object.entries(this.given)) {
      const required = Object.hasOwn(requiredValues, key) ? requiredValues[key] : undefined
      if (required && !required.value.includes(plain(value))) {
        this.problem(key, `${key} ${JSON.stringify(value)} is not supported: ${required.otherwise}`)
      } else if (withoutEffect.has(key) || isSwitchedOff(key, value)) ignored.push(key)
      else if (!known.includes(key)) {
        const near = nearestName(key, known)
        this.problems.add([key], `${key} is not supported${near ? `, or did you mean ${near}?` : ''}`, { key: true })
      }
    }
    // LoRA is what LLaMA-Factory does when nothing is said.
    if (this.given.finetuning_type === undefined) this.problems.add([], 'Expected finetuning_type: full')
    if (ignored.length > 0) this.notes.push(`Without effect here: ${ignored.join(', ')}`)
  }

  private problem(key: string, message: string): void {
    this.problems.add([key], message)
  }

  private text(key: string): string {
    const value = this.given[key]
    if (typeof value === 'string' && value !== '') return value
    this.problem(key, `Expected a text for ${key}`)
    return ''
  }

  private flag(key: string, fallback = false): boolean {
    const value = plain(this.given[key] ?? fallback)
    if (typeof value === 'boolean') return value
    this.problem(key, `Expected true or false for ${key}`)
    return fallback
  }

  private number<F extends number | undefined>(key: string, fallback: F): number | F {
    const value = plain(this.given[key])
    if (value === undefined || value === null) return fallback
    if (typeof value === 'number') return value
    this.problem(key, `Expected a number for ${key} but received ${JSON.stringify(value)}`)
    return fallback
  }

  private choice<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.given[key] ?? fallback
    const found = choices.find((choice) => choice === value)
    if (found) return found
    this.problem(key, `${key} ${JSON.stringify(value)} is not supported: expected one of ${choices.join(', ')}`)
    return fallback
  }

  private async data(): Promise<DataOptions> {
    const validation = this.validation()
    const template = this.template()
    const packing = this.flag('neat_packing') ? 'neat' : this.flag('packing') ? 'pack' : 'none'
    const batch = this.number('preprocessing_batch_size', 1000)
    return {
      sources: await this.sources(),
      ...template,
      train: this.flag('train_on_prompt') ? 'all' : 'assistant',
      maskHistory: this.flag('mask_history'),
      cutoffLength: this.number('cutoff_len', 2048),
      packing,
      ...(packing === 'none' ? {} : { packingBatch: batch }),
      ...(validation && { validation }),
      seed: this.number('seed', 42),
    }
  }

  private template(): Pick<DataOptions, 'template' | 'missingThink'> {
    const name = this.given.template
    if (name === undefined || name === null) return { template: 'checkpoint' }
    const found = typeof name === 'string' && Object.hasOwn(templates, name) ? templates[name] : undefined
    if (!found) {
      const known = Object.keys(templates).join(', ')
      this.problem(
        'template',
        `template ${JSON.stringify(name)} is not supported: expected one of ${known}, or none for the checkpoint's`,
      )
      return {}
    }
    const { note, template, missingThink } = found
    if (note) this.notes.push(note)
    const thinks = this.flag('enable_thinking', true)
    const place = missingThink === 'target' && !thinks ? 'prompt' : missingThink
    return { template, ...(place && { missingThink: place }) }
  }

  private async sources(): Promise<DataSource[]> {
    const { dataset } = this.given
    const names = (Array.isArray(dataset) ? dataset : String(dataset ?? '').split(',')).map((name) =>
      String(name).trim(),
    )
    if (names.some((name) => name === '')) {
      this.problem('dataset', 'Expected names of datasets for dataset')
      return []
    }
    const directory = this.given.dataset_dir === undefined ? 'data' : this.text('dataset_dir')
    const sources = await datasetSources(names, resolve(pathFromFile(directory, '.')), (message) =>
      this.problem('dataset', message),
    )
    const most = this.number('max_samples', undefined)
    return most === undefined
      ? sources
      : sources.map((source) => ({ ...source, take: Math.min(most, source.take ?? most) }))
  }

  private validation(): DataOptions['validation'] {
    const size = this.number('val_size', 0)
    if (size <= 0) return undefined
    return size < 1 ? { fraction: size } : { count: size }
  }

  private async training(): Promise<TrainingOptions> {
    const numbers = Object.entries(numberKeys).map(([key, [name, fallback]]) => [name, this.number(key, fallback)])
    const epochs = this.number('num_train_epochs', 3)
    if (!Number.isInteger(epochs))
      this.problem('num_train_epochs', `num_train_epochs ${epochs} is not supported: whole epochs, or max_steps`)
    const [steps, warmup] = [this.number('max_steps', -1), this.number('warmup_steps', 0)]
    const checkpointing = this.flag('gradient_checkpointing', true) && !this.flag('disable_gradient_checkpointing')
    const stage = await this.zeroStage()
    return {
      numTrainEpochs: epochs,
      ...(steps > 0 ? { maxSteps: steps } : {}),
      ...(Object.fromEntries(numbers) as TrainingOptions),
      lrSchedulerType: this.choice('lr_scheduler_type', schedules, 'linear'),
      ...(warmup > 0 ? { warmupSteps: warmup } : {}),
      recompute: checkpointing ? 'full' : 'none',
      ...(stage === undefined ? {} : { zeroStage: stage }),
      ...this.saving(),
    }
  }

  private saving(): TrainingOptions {
    const saves = this.choice('save_strategy', ['steps', 'no'], 'steps') === 'steps'
    const evaluationKey = this.given.eval_strategy === undefined ? 'evaluation_strategy' : 'eval_strategy'
    const evaluates = this.choice(evaluationKey, ['no', 'steps'], 'no') === 'steps'
    const limit = this.number('save_total_limit', undefined)
    return {
      saveSteps: saves ? this.number('save_steps', 500) : null,
      ...(limit === undefined ? {} : { saveTotalLimit: limit }),
      evalSteps: evaluates ? this.number('eval_steps', this.number('logging_steps', 500)) : null,
    }
  }

  /** Of DeepSpeed's configuration, which is a file or stands in the YAML. */
  private async zeroStage(): Promise<TrainingOptions['zeroStage']> {
    const { deepspeed } = this.given
    if (deepspeed === undefined || deepspeed === null) return undefined
    const config = typeof deepspeed === 'string' ? await this.deepspeedFile(deepspeed) : deepspeed
    if (config === undefined) return undefined
    const optimization = isMapping(config) ? (config.zero_optimization ?? {}) : undefined
    const stage = isMapping(optimization) ? (optimization.stage ?? 0) : undefined
    if (stage === 0 || stage === 1 || stage === 2 || stage === 3) {
      this.notes.push(`Of deepspeed only the stage is taken, zeroStage ${stage}`)
      return stage
    }
    this.problem('deepspeed', 'Expected zero_optimization.stage from 0 to 3 in the configuration of deepspeed')
    return undefined
  }

  private async deepspeedFile(path: string): Promise<unknown> {
    const bytes = await readSmallFile(pathFromFile(path, '.'), 2 ** 20, 'ERR_RECIPE')
    // The examples that come with LLaMA-Factory need not be at hand.
    const [, stage] = /(?:^|\/)ds_z([0-3])(?:_offload)?_config\.json$/.exec(path) ?? []
    if (!bytes && stage !== undefined) return { zero_optimization: { stage: Number(stage) } }
    if (!bytes) {
      this.problem('deepspeed', `There is no file ${path}`)
      return undefined
    }
    try {
      return JSON.parse(bytes.toString('utf8'))
    } catch (error) {
      this.problem('deepspeed', `Expected JSON in ${path}: ${(error as Error).message}`)
      return undefined
    }
  }
}

/** A switch that is off changes nothing, whatever it is for, unless it is a misspelt one of those that count here. */
function isSwitchedOff(key: string, value: unknown): boolean {
  const counts = [...translatedKeys, ...Object.keys(requiredValues)]
  return plain(value) === false && !counts.includes(key) && nearestName(key, counts) === undefined
}

/** As Python's YAML and command lines write values: True, and 1e-5, which is a text there. */
function plain(value: unknown): unknown {
  if (value === 'True' || value === 'False') return value === 'True'
  const isNumber = typeof value === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value)
  return isNumber ? Number(value) : value
}
