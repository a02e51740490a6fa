import type { DtypeName } from '../checkpoint/dtypes.js'
import { type FloatDtype, floatDtypeFromName, floatDtypes } from '../checkpoint/dtypes.js'
import { type ModelChoices, modelChoices } from '../checkpoint/modelChoices.js'
import { threadsOfProcess } from '../machineLimits.js'
import { type DeviceOption, resolveDevice } from '../native/deviceOption.js'
import type { NativeDeviceRequest, NativeFusionOptions } from '../native/native.js'
import {
  checkBoolean,
  checkChoice,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOptionNames,
  checkPath,
  checkSignal,
  invalidArgument,
  isMapping,
} from '../validate.js'
import { type FusionChoices, type PresetName, presets } from './presets.js'
import type { TensorStats } from './tensorStats.js'

/** How far a command is: bytes of weights, read and written together, and tensors that are done. */
export interface Progress {
  bytesDone: number
  bytesTotal: number
  tensorsDone: number
  tensorsTotal: number
}

type OrUndefined<T> = { [K in keyof T]?: T[K] | undefined }

/** Options of every fusion. Each field of {@link FusionChoices} overrides the preset's. */
export interface FuseOptions extends OrUndefined<FusionChoices> {
  /** Default 'arcee'. */
  preset?: PresetName | undefined
  /** NaN or infinity in a tensor: refuse (default), or keep that tensor whole from this side. */
  nonFinite?: 'error' | 'left' | 'right' | undefined
  /** Dtype of the output's float tensors, also by PyTorch's name ('bfloat16'). Default: the inputs'. */
  dtype?: FloatDtype | 'bfloat16' | 'float16' | 'float32' | 'float64' | undefined
  /** 1 to 1024. Default: all cores that this process may use, or its control group has time of. */
  threads?: number | undefined
  signal?: AbortSignal | undefined
  /** Called now and then on the JavaScript thread, never after the call has settled. */
  onProgress?: ((progress: Progress) => void) | undefined
}

/** Options of a fusion of two checkpoints. What models store in different dtypes is read in `dtype`, too. */
export interface FuseCheckpointsOptions extends FuseOptions, ModelChoices {
  /** Dtypes in which single models are read, by their names: left and right, or the recipe's. Over `dtype`. */
  modelDtypes?: Readonly<Record<string, DtypeName>> | undefined
  /** Directory to write: new or empty, unless `overwrite`. */
  out: string
  /** Replace the checkpoint that is in `out`. */
  overwrite?: boolean | undefined
  /** Most bytes of tensors in one file, a number or a text as '5GB' or '2GiB'. Default: the files of Left. */
  maxShardSize?: number | string | undefined
  /**
   * Go on with a run of the same merge that was cut off (a kill, a power failure), from the last tensors that reached the
   * disk; begin where there is none. When this run fails, its work is kept for the next. The bytes are the same.
   */
  resume?: boolean | undefined
  /**
   * Most memory for tensors, a number of bytes or a text as '8GB', 1 MB or more. Tensors that need more are read again in every pass, with
   * the same result. Default: a quarter of what the process may take: the machine's, or its control group's.
   */
  memory?: number | string | undefined
  /** Default 'auto'. */
  device?: DeviceOption | undefined
  /** Called once for every tensor, when it is done. */
  onTensor?: ((stats: TensorStats) => void) | undefined
}

export interface ResolvedFuseOptions {
  preset: PresetName
  fusion: NativeFusionOptions
  /** Fields of the preset that were overridden, with the values in force. */
  overrides: Partial<FusionChoices>
  dtype: FloatDtype | undefined
  threads: number
  signal: AbortSignal | undefined
  onProgress: ((progress: Progress) => void) | undefined
}

export interface ResolvedFuseCheckpointsOptions extends ResolvedFuseOptions {
  out: string
  overwrite: boolean
  maxShardBytes: number | undefined
  resume: boolean
  memoryBytes: number | undefined
  device: NativeDeviceRequest
  choices: ModelChoices
  modelDtypes: Readonly<Record<string, FloatDtype>>
  onTensor: ((stats: TensorStats) => void) | undefined
}

const choices = {
  scope: ['row', 'tensor'],
  divergence: ['right||left', 'left||right'],
  score: ['abs', 'signed'],
  gate: ['ge', 'gt', 'soft'],
  quantile: ['lower', 'linear'],
  population: ['all', 'changed'],
} as const

export const presetNames = Object.keys(presets) as PresetName[]
export const fusionChoiceValues: Record<keyof typeof choices, readonly string[]> = choices
export const nonFiniteValues = ['error', 'left', 'right'] as const

/** Options that say how a fusion decides, as recipes have them. */
export const fusionOptionNames = [
  'preset',
  ...(Object.keys(choices) as (keyof typeof choices)[]),
  'lambda',
  'epsilon',
  'nonFinite',
] as const satisfies (keyof FuseOptions)[]
const optionNames = [...fusionOptionNames, 'dtype', 'threads', 'signal', 'onProgress']
export const checkpointOptionNames = [
  ...optionNames,
  ...(Object.keys(modelChoices) as (keyof ModelChoices)[]),
  'modelDtypes',
  'out',
  'overwrite',
  'maxShardSize',
  'resume',
  'memory',
  'device',
  'onTensor',
]

/** @throws ERR_INVALID_ARGUMENT naming the option, what it expects and what it received. */
export function resolveFuseOptions(options: FuseOptions): ResolvedFuseOptions {
  checkOptionNames(options, optionNames)
  return resolveCommon(options)
}

/** @throws ERR_INVALID_ARGUMENT naming the option, what it expects and what it received. */
export function resolveFuseCheckpointsOptions(options: FuseCheckpointsOptions): ResolvedFuseCheckpointsOptions {
  checkOptionNames(options, checkpointOptionNames)
  return {
    ...resolveCommon(options),
    out: checkPath(options.out, 'out'),
    overwrite: checkBoolean(options.overwrite ?? false, 'overwrite'),
    maxShardBytes: optionalShardSize(options.maxShardSize, 'maxShardSize'),
    resume: checkBoolean(options.resume ?? false, 'resume'),
    memoryBytes: optionalMemory(options.memory, 'memory'),
    device: resolveDevice(options.device),
    choices: givenChoices(options),
    modelDtypes: resolveModelDtypes(options.modelDtypes),
    onTensor: checkFunction(options.onTensor, 'onTensor'),
  }
}

/** What the options of every fusion resolve to. @throws ERR_INVALID_ARGUMENT */
export function resolveCommon(options: FuseOptions): ResolvedFuseOptions {
  const preset = checkChoice(options.preset ?? 'arcee', 'preset', presetNames)
  const overrides = resolveOverrides(options)
  return {
    preset,
    fusion: {
      ...presets[preset],
      ...overrides,
      nonFinite: checkChoice(options.nonFinite ?? 'error', 'nonFinite', nonFiniteValues),
    },
    overrides,
    dtype: options.dtype === undefined ? undefined : floatDtype(options.dtype),
    threads: checkInteger(options.threads ?? Math.min(threadsOfProcess(), 1024), 'threads', 1, 1024),
    signal: checkSignal(options.signal),
    onProgress: checkFunction(options.onProgress, 'onProgress'),
  }
}

function resolveOverrides(options: FuseOptions): Partial<FusionChoices> {
  const given = <K extends keyof FusionChoices>(name: K, check: (value: unknown) => FusionChoices[K]) =>
    options[name] === undefined ? {} : { [name]: check(options[name]) }
  const choice = <K extends keyof typeof choices>(name: K) =>
    given(name, (value) => checkChoice<string>(value, name, choices[name]) as FusionChoices[K])
  return {
    ...choice('scope'),
    ...choice('divergence'),
    ...choice('score'),
    ...choice('gate'),
    ...given('lambda', (value) => checkNumber(value, 'lambda', 0, 1e6)),
    ...given('epsilon', epsilon),
    ...choice('quantile'),
    ...choice('population'),
  }
}

/** The choices that are not left to the recipe. @throws ERR_INVALID_ARGUMENT */
export function givenChoices(options: ModelChoices): ModelChoices {
  const given = (Object.keys(modelChoices) as (keyof ModelChoices)[]).filter((name) => options[name] !== undefined)
  return Object.fromEntries(given.map((name) => [name, checkChoice<string>(options[name], name, modelChoices[name])]))
}

/** @throws ERR_INVALID_ARGUMENT */
export function resolveModelDtypes(given: unknown = {}): Record<string, FloatDtype> {
  if (!isMapping(given)) throw invalidArgument('dtypes by the names of models', 'modelDtypes', given)
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, floatDtype(value, `modelDtypes.${name}`)]),
  )
}

function epsilon(value: unknown): number {
  if (value === 0) return 0
  if (typeof value === 'number' && value >= 1e-30 && value <= 1) return value
  throw invalidArgument('0 or a number from 1e-30 to 1', 'epsilon', value)
}

function floatDtype(value: unknown, name = 'dtype'): FloatDtype {
  const dtype = typeof value === 'string' ? floatDtypeFromName(value) : undefined
  if (dtype) return dtype
  throw invalidArgument(`one of ${floatDtypes.join(', ')}`, name, value)
}

const unitBytes: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** A number of bytes, or a text with a unit; undefined stays that. @throws ERR_INVALID_ARGUMENT */
function optionalSize(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined
  const bytes = typeof value === 'string' ? bytesFromText(value) : value
  if (Number.isSafeInteger(bytes) && (bytes as number) > 0) return bytes as number
  throw invalidArgument("a number of bytes or a size as '5GB', '500MB' or '2GiB'", name, value)
}

/** Slices of tensors are read 1 MiB at a time: a lower limit would save nothing. @throws ERR_INVALID_ARGUMENT */
export const optionalMemory = (value: unknown, name: string): number | undefined => sizeFrom('1MB', 1e6, value, name)

/** A file of less holds no tensor worth one. @throws ERR_INVALID_ARGUMENT */
export const optionalShardSize = (value: unknown, name: string): number | undefined => sizeFrom('1KB', 1e3, value, name)

/** As {@link optionalSize}, with a least: a bare 8 means bytes, and surely somebody meant gigabytes. */
function sizeFrom(leastText: string, least: number, value: unknown, name: string): number | undefined {
  const bytes = optionalSize(value, name)
  if (bytes === undefined || bytes >= least) return bytes
  const expected = `${leastText} or more, with a unit as '8GB' or '8GiB' (a bare number is in bytes),`
  throw invalidArgument(expected, name, value)
}

function bytesFromText(text: string): number | undefined {
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text) ?? []
  const factor = unitBytes[unit?.toUpperCase() ?? '?']
  return digits !== undefined && factor ? Math.floor(Number(digits) * factor) : undefined
}
