import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BranchMergeError } from '../../errors.js'

/** What is used of node-llama-cpp, which is a package of the user's: none of its types come with this one. */
export interface LlamaModule {
  getLlama(options: {
    gpu: 'auto' | false
    build: 'never'
    skipDownload: boolean
    maxThreads: number
    logLevel: string
    logger: (level: string, message: string) => void
  }): Promise<Llama>
  InsufficientMemoryError: new () => Error
}

export interface Llama {
  readonly gpu: string | false
  readonly llamaCppRelease: { readonly release: string }
  getVramState(): Promise<{ total: number; free: number }>
  loadModel(options: {
    modelPath: string
    gpuLayers: number | { fitContext: { contextSize: number } }
    loadSignal?: AbortSignal
    onLoadProgress?: (progress: number) => void
  }): Promise<LlamaModel>
  dispose(): Promise<void>
}

export interface LlamaModel {
  readonly gpuLayers: number
  readonly trainContextSize: number
  isEogToken(token: number): boolean
  createContext(options: {
    sequences: number
    contextSize: number
    threads: number
    batchSize: number
    createSignal?: AbortSignal
  }): Promise<LlamaContext>
}

export interface LlamaContext {
  readonly contextSize: number
  readonly totalSequences: number
  getSequence(): LlamaSequence
  dispose(): Promise<void>
}

export interface LlamaSequence {
  evaluate(
    tokens: readonly number[],
    options: {
      temperature: number
      topK: number
      topP: number
      minP: number
      seed: number
      yieldEogToken: true
      repeatPenalty?: {
        punishTokens: () => number[]
        maxPunishTokens: number
        penalty: number
        frequencyPenalty: number
        presencePenalty: number
      }
    },
  ): AsyncGenerator<number, void, void>
  clearHistory(): Promise<void>
}

const name = 'node-llama-cpp'
/** The directory of an installed node-llama-cpp, for those that keep it elsewhere. */
const variable = 'BRANCHMERGE_LLAMA'

/**
 * node-llama-cpp and its version: that of BRANCHMERGE_LLAMA, beside this package, or in the project of the working directory.
 *
 * @throws ERR_ENGINE_MISSING
 */
export async function loadLlamaModule(): Promise<{ module: LlamaModule; version: string }> {
  const named = process.env[variable]
  const directory = named ? resolve(named) : undefined
  if (directory !== undefined && !existsSync(join(directory, 'package.json'))) {
    throw new BranchMergeError(
      'ERR_ENGINE_MISSING',
      `Expected the directory of an installed ${name} in ${variable} but there is no package at ${directory}`,
    )
  }
  const found = directory ?? (above(dirname(new URL(import.meta.url).pathname)) || above(process.cwd()))
  if (!found) throw missing()
  try {
    const { version, main } = JSON.parse(await readFile(join(found, 'package.json'), 'utf8'))
    const module = (await import(pathToFileURL(join(found, main)).href)) as LlamaModule
    return { module, version }
  } catch (cause) {
    throw missing(cause)
  }
}

/** The package in a node_modules of a directory or of one above it. */
function above(directory: string): string | undefined {
  for (let each = directory; ; each = dirname(each)) {
    const candidate = join(each, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
    if (each === dirname(each)) return undefined
  }
}

export function missing(cause?: unknown): BranchMergeError {
  const why = cause === undefined ? 'it is not installed' : `it cannot be loaded: ${(cause as Error).message}`
  return new BranchMergeError(
    'ERR_ENGINE_MISSING',
    `Expected ${name}, which answers for models that are directories, but ${why}. ` +
      `Install it with: npm install ${name}. Or name a server, http://host:8000/v1#model, or a command that serves the model.`,
    { cause },
  )
}
