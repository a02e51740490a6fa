import type { FloatDtype } from '../../checkpoint/dtypes.js'
import {
  checkpointOptionNames,
  fusionOptionNames,
  givenChoices,
  optionalMemory,
  optionalShardSize,
  resolveCommon,
  resolveModelDtypes,
} from '../../fusion/fuseOptions.js'
import type { FuseCheckpointsOptions } from '../../fusion/fuseOptionTypes.js'
import type { Progress } from '../../fusion/progress.js'
import type { MergedTensorStats } from '../../fusion/tensorStats.js'
import type { DownloadProgress } from '../../hub/download.js'
import { resolveDevice } from '../../native/deviceOption.js'
import type { NativeDeviceRequest } from '../../native/native.js'
import type { RecipeSource } from '../../recipe/recipe.js'
import { type Recipe, RecipeDocument, type RecipeOptions, recipeObject } from '../../recipe/recipe.js'
import type { ResolvedRecipe } from '../../recipe/resolvedRecipe.js'
import { resolveRecipe } from '../../recipe/resolveRecipe.js'
import { checkBoolean, checkFunction, checkOptionNames, checkPath, invalidArgument, isMapping } from '../../validate.js'

/**
 * Options of a merge. Those of the fusion stand for the recipe's own `options`: steps, calls and rules win over them.
 */
export interface MergeOptions extends Omit<FuseCheckpointsOptions, 'out' | 'onTensor'> {
  /** Paths of models by name, over those of the recipe. */
  models?: Readonly<Record<string, string>> | undefined
  /** Directory to write: new or empty, unless `overwrite`. Default: the recipe's `output.path`. */
  out?: string | undefined
  /** Record the SHA-256 of every whole input file, and check those that the recipe expects. Reads the inputs once more. */
  sha256?: boolean | undefined
  /** Called once for every tensor, when it is done. */
  onTensor?: ((stats: MergedTensorStats) => void) | undefined
}

/** How a merge is carried out: what does not change its tensors, and where it goes. */
export interface Execution {
  out: string
  overwrite: boolean
  /** Write a model card. */
  card: boolean
  dtype: FloatDtype | undefined
  maxShardBytes: number | undefined
  resume: boolean
  /** Undefined: a quarter of what the process may take. */
  memoryBytes: number | undefined
  device: NativeDeviceRequest
  threads: number
  sha256: boolean
  signal: AbortSignal | undefined
  onProgress: ((progress: Progress) => void) | undefined
  onTensor: ((stats: MergedTensorStats) => void) | undefined
  onDownload: ((progress: DownloadProgress) => void) | undefined
}

/** A merge that was asked for, everything about it resolved but the files. */
export interface MergeRequest {
  recipe: ResolvedRecipe
  /** The recipe as it is carried out, without places: what the manifest keeps. */
  record: Recipe
  run: Execution
  /** What messages call a model. */
  label(model: string): string
}

const optionNames = [...checkpointOptionNames, 'models', 'sha256']

/**
 * Resolves what is to be merged and how.
 *
 * @param source - an expression, or a recipe as an object or read from a file; the path of one must have been read
 * @throws ERR_INVALID_ARGUMENT, or ERR_RECIPE with everything that is wrong with the recipe
 */
export function resolveMergeRequest(source: RecipeSource, options: MergeOptions): MergeRequest {
  const given = resolveExecution(options)
  const document = withOptions(documentOf(source), options)
  const recipe = resolveRecipe(document, { models: options.models })
  const out = options.out ?? recipe.output.path
  if (out === undefined) throw invalidArgument("a directory (or the recipe's output.path)", 'out', out)
  const run = {
    ...given,
    out: checkPath(out, 'out'),
    dtype: given.dtype ?? recipe.output.dtype,
    maxShardBytes: given.maxShardBytes ?? optionalShardSize(recipe.output.maxShardSize, 'maxShardSize'),
  }
  return { recipe, record: recordOf(document.value as Recipe, recipe, run), run, label: (model) => model }
}

/**
 * The options that say how a merge is carried out, whatever the recipe.
 *
 * @throws ERR_INVALID_ARGUMENT, also for options of the fusion
 */
export function resolveExecution(options: MergeOptions): Omit<Execution, 'out'> {
  checkNames(options)
  const { dtype, threads, signal, onProgress } = resolveCommon(options)
  return {
    overwrite: checkBoolean(options.overwrite ?? false, 'overwrite'),
    card: checkBoolean(options.card ?? true, 'card'),
    dtype,
    maxShardBytes: optionalShardSize(options.maxShardSize, 'maxShardSize'),
    resume: checkBoolean(options.resume ?? false, 'resume'),
    memoryBytes: optionalMemory(options.memory, 'memory'),
    device: resolveDevice(options.device),
    threads,
    sha256: checkBoolean(options.sha256 ?? false, 'sha256'),
    signal,
    onProgress,
    onTensor: checkFunction(options.onTensor, 'onTensor'),
    onDownload: checkFunction(options.onDownload, 'onDownload'),
  }
}

function checkNames(options: unknown): void {
  checkOptionNames(options, optionNames)
}

function documentOf(source: unknown): RecipeDocument {
  if (source instanceof RecipeDocument) return source
  if (typeof source === 'string') return recipeObject({ expression: source })
  if (typeof source === 'object' && source !== null) return recipeObject(source)
  throw invalidArgument('an expression or a recipe', 'recipe', source)
}

/** The recipe with options of the call over its own. */
function withOptions(document: RecipeDocument, given: MergeOptions): RecipeDocument {
  const { value, file, locate, mergekitNotes } = document
  if (!isMapping(value)) return document
  const recipe = value as Recipe
  const options = givenFusionOptions(given)
  const changed = {
    ...(Object.keys(options).length > 0 ? { options: { ...recipe.options, ...options } } : {}),
    ...givenChoices(given),
  }
  const whole = withModelDtypes({ ...recipe, ...changed }, resolveModelDtypes(given.modelDtypes))
  return new RecipeDocument(whole, file, locate, mergekitNotes)
}

/** The recipe with the dtypes in which single models are read. */
export function withModelDtypes(recipe: Recipe, dtypes: Readonly<Record<string, FloatDtype>>): Recipe {
  const { models = {} } = recipe
  if (Object.keys(dtypes).length === 0 || !isMapping(models)) return recipe
  const read = Object.entries(dtypes).map(([name, dtype]) => {
    const model = models[name] ?? {}
    return [name, { ...(typeof model === 'string' ? { path: model } : model), dtype }] as const
  })
  return { ...recipe, models: { ...models, ...Object.fromEntries(read) } }
}

function givenFusionOptions(options: MergeOptions): RecipeOptions {
  const given = fusionOptionNames.flatMap((name) => {
    const value = options[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(given)
}

/** Paths go, and what the call or a default says of the output is written out. */
export function recordOf(recipe: Recipe, resolved: ResolvedRecipe, run: Execution): Recipe {
  const { $schema: _, models = {}, output: __, ...rest } = recipe as Recipe & { $schema?: string }
  const named = resolved.models.map(({ name }) => {
    const model = models[name]
    if (model === undefined || typeof model === 'string') return [name, {}] as const
    const { path: _, ...facts } = model
    return [name, facts] as const
  })
  return {
    models: Object.fromEntries(named),
    ...rest,
    output: {
      ...(run.dtype ? { dtype: run.dtype } : {}),
      ...(run.maxShardBytes ? { maxShardSize: run.maxShardBytes } : {}),
      tokenizer: resolved.output.tokenizer,
    },
  }
}
