import { BranchMergeError } from '../errors.js'
import { optionalMemory } from '../fusion/fuseOptions.js'
import type { Progress } from '../fusion/progress.js'
import type { DownloadProgress } from '../hub/download.js'
import { threadsOfProcess } from '../machineLimits.js'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkOptionNames,
  checkPath,
  checkSignal,
  invalidArgument,
  isMapping,
} from '../validate.js'

/** What is compared, and where the tables go. */
export interface AnalyseOptions {
  /** The checkpoint that the experts were trained from: a directory, a .safetensors file, or a name on the Hub. */
  base: string
  /** Checkpoints of experts by name, 16 at most. */
  experts?: Readonly<Record<string, string>> | undefined
  /** The model that was merged from them. */
  merged?: string | undefined
  /** Gradients of the base by domain, as `writeGradient` writes them, 16 at most. */
  gradients?: Readonly<Record<string, string>> | undefined
  /** Directory for tables and figures; it is made where it is missing. Default: nothing is written. */
  out?: string | undefined
  /** Replace files of the same names there that no analysis wrote. Default: false. */
  overwrite?: boolean | undefined
  /**
   * Most memory for tensors, a number of bytes or a text as '8GB', 1 MB or more. Tensors that need more are read again in every pass, with
   * the same result. Default: a quarter of what the process may take.
   */
  memory?: number | string | undefined
  /** 1 to 1024. Default: all cores that this process may use. */
  threads?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress) => void) | undefined
  /** Called now and then while checkpoints of the Hub are fetched, before any is read. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

/** A checkpoint by the name that tables have for it. */
export interface NamedPath {
  name: string
  path: string
}

export interface ResolvedAnalysis {
  base: string
  experts: NamedPath[]
  merged: string | undefined
  gradients: NamedPath[]
  out: string | undefined
  overwrite: boolean
  memoryBytes: number | undefined
  threads: number
  signal: AbortSignal | undefined
  onProgress: ((progress: Progress) => void) | undefined
  onDownload: ((progress: DownloadProgress) => void) | undefined
}

/** Every pair is compared, and every worker counts for each expert. */
const mostNames = 16

const optionNames = [
  'base',
  'experts',
  'merged',
  'gradients',
  'out',
  'overwrite',
  'memory',
  'threads',
  'signal',
  'onProgress',
  'onDownload',
] as const satisfies (keyof AnalyseOptions)[]

/** @throws ERR_INVALID_ARGUMENT */
export function resolveAnalysis(options: AnalyseOptions): ResolvedAnalysis {
  checkOptionNames(options, optionNames)
  const resolved = {
    base: checkPath(options.base, 'base'),
    experts: namedPaths(options.experts, 'experts'),
    merged: options.merged === undefined ? undefined : checkPath(options.merged, 'merged'),
    gradients: namedPaths(options.gradients, 'gradients'),
    out: options.out === undefined ? undefined : checkPath(options.out, 'out'),
    overwrite: checkBoolean(options.overwrite ?? false, 'overwrite'),
    memoryBytes: optionalMemory(options.memory, 'memory'),
    threads: checkInteger(options.threads ?? Math.min(threadsOfProcess(), 1024), 'threads', 1, 1024),
    signal: checkSignal(options.signal),
    onProgress: checkFunction(options.onProgress, 'onProgress'),
    onDownload: checkFunction(options.onDownload, 'onDownload'),
  }
  if (resolved.experts.length === 0 && resolved.gradients.length === 0) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      'Expected experts or gradients to compare (--expert NAME=PATH, --gradient NAME=PATH) but received none',
    )
  }
  if (resolved.merged !== undefined && resolved.experts.length === 0) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      'Expected experts (--expert NAME=PATH) beside the merged model but received none',
    )
  }
  return resolved
}

function namedPaths(given: unknown, option: string): NamedPath[] {
  if (given === undefined) return []
  if (!isMapping(given)) throw invalidArgument('paths by name', option, given)
  const named = Object.entries(given).map(([name, path]) => {
    if (!/^[A-Za-z0-9][\w.-]{0,63}$/.test(name))
      throw invalidArgument('names of letters, digits, . _ and -, 64 at most,', option, name)
    return { name, path: checkPath(path, `${option}.${name}`) }
  })
  if (named.length > mostNames) throw invalidArgument(`at most ${mostNames} names`, option, named.length)
  return named
}
