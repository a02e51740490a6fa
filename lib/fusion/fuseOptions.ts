import { type FloatDtype, floatDtypeFromName, floatDtypes } from '../checkpoint/dtypes.js'
import type { ModelChoices } from '../checkpoint/modelChoices.js'
import { modelKeys } from '../checkpoint/modelKeys.js'
import type { DownloadProgress } from '../hub/download.js'
import { threadsOfProcess } from '../machineLimits.js'
import { resolveDevice } from '../native/deviceOption.js'
import type { NativeDeviceRequest, NativeFusionOptions } from '../native/native.js'
import { checkOption } from '../options/checkOption.js'
import type { Option } from '../options/option.js'
import {
  checkBoolean,
  checkFunction,
  checkOptionNames,
  checkPath,
  checkSignal,
  invalidArgument,
  isMapping,
} from '../validate.js'
import { checkpointKeys, fuseKeys, fusionKeys } from './fuseKeys.js'
import type { FuseCheckpointsOptions, FuseOptions } from './fuseOptionTypes.js'
import { type FusionChoices, type PresetName, presets } from './presets.js'
import type { Progress } from './progress.js'
import type { TensorStats } from './tensorStats.js'

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
  card: boolean
  maxShardBytes: number | undefined
  resume: boolean
  memoryBytes: number | undefined
  device: NativeDeviceRequest
  choices: ModelChoices
  modelDtypes: Readonly<Record<string, FloatDtype>>
  onTensor: ((stats: TensorStats) => void) | undefined
  onDownload: ((progress: DownloadProgress) => void) | undefined
}

/** Options that say how a fusion decides, as recipes have them. */
export const fusionOptionNames = [
  'preset',
  ...(Object.keys(fusionKeys) as (keyof FusionChoices)[]),
  'nonFinite',
] as const satisfies (keyof FuseOptions)[]
const optionNames = [...new Set([...fusionOptionNames, ...Object.keys(fuseKeys)])]
export const checkpointOptionNames = [...optionNames, ...Object.keys(checkpointKeys)]

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
    card: checkBoolean(options.card ?? true, 'card'),
    maxShardBytes: optionalShardSize(options.maxShardSize, 'maxShardSize'),
    resume: checkBoolean(options.resume ?? false, 'resume'),
    memoryBytes: optionalMemory(options.memory, 'memory'),
    device: resolveDevice(options.device),
    choices: givenChoices(options),
    modelDtypes: resolveModelDtypes(options.modelDtypes),
    onTensor: checkFunction(options.onTensor, 'onTensor'),
    onDownload: checkFunction(options.onDownload, 'onDownload'),
  }
}

/** What the options of every fusion resolve to. @throws ERR_INVALID_ARGUMENT */
export function resolveCommon(options: FuseOptions): ResolvedFuseOptions {
  checkOption(fuseKeys.preset, options.preset, 'preset')
  const preset = options.preset ?? fuseKeys.preset.default
  const overrides = givenOf(options, fusionKeys)
  checkOption(fuseKeys.nonFinite, options.nonFinite, 'nonFinite')
  checkOption(fuseKeys.threads, options.threads, 'threads')
  return {
    preset,
    fusion: { ...presets[preset], ...overrides, nonFinite: options.nonFinite ?? fuseKeys.nonFinite.default },
    overrides,
    dtype: options.dtype === undefined ? undefined : floatDtype(options.dtype),
    threads: options.threads ?? Math.min(threadsOfProcess(), fuseKeys.threads.most),
    signal: checkSignal(options.signal),
    onProgress: checkFunction(options.onProgress, 'onProgress'),
  }
}

/** The options of these keys that are given, checked. @throws ERR_INVALID_ARGUMENT */
function givenOf<K extends string, T extends { [name in K]?: unknown }>(
  options: T,
  keys: Readonly<Record<K, Option>>,
): { [name in K]?: Exclude<T[name], undefined> } {
  const given = (Object.keys(keys) as K[]).filter((name) => options[name] !== undefined)
  for (const name of given) checkOption(keys[name], options[name], name)
  return Object.fromEntries(given.map((name) => [name, options[name]])) as { [name in K]?: Exclude<T[name], undefined> }
}

/** The choices that are not left to the recipe. @throws ERR_INVALID_ARGUMENT */
export const givenChoices = (options: ModelChoices): ModelChoices => givenOf(options, modelKeys)

/** @throws ERR_INVALID_ARGUMENT */
export function resolveModelDtypes(given: unknown = {}): Record<string, FloatDtype> {
  if (!isMapping(given)) throw invalidArgument('dtypes by the names of models', 'modelDtypes', given)
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, floatDtype(value, `modelDtypes.${name}`)]),
  )
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
