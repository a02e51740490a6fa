import { BranchMergeError } from '../errors.js'
import { nearestName } from '../validate.js'
import { readJsonObject } from './readConfig.js'

/** Decoders whose tensors are known here, by their `model_type`. */
export const families = ['qwen2', 'llama', 'qwen3'] as const
export type Family = (typeof families)[number]

/** What the shapes and first values of a decoder's tensors depend on. */
export interface DecoderShape {
  family: Family
  hiddenSize: number
  intermediateSize: number
  layers: number
  heads: number
  keyValueHeads: number
  headDim: number
  vocabularySize: number
  tied: boolean
  /** q, k and v have a bias. */
  inputBias: boolean
  /** o has one. */
  outputBias: boolean
  /** gate, up and down have one. */
  mlpBias: boolean
  /** Standard deviation of the first values. */
  initializerRange: number
}

/** A configuration as config.json has it. */
export type ConfigJson = Record<string, unknown>

/**
 * Reads a config.json.
 *
 * @throws ERR_CONFIG_JSON when there is none, or it is no JSON object
 */
export async function readConfigJson(path: string): Promise<ConfigJson> {
  const file = await readJsonObject(path)
  if (!file) throw new BranchMergeError('ERR_CONFIG_JSON', `Expected a configuration but there is no file ${path}`)
  return file.json
}

/**
 * What a configuration of Qwen2, Llama or Qwen3 says of the decoder's shape.
 *
 * @param file - as messages name it
 * @throws ERR_CONFIG_JSON for another architecture, and for a number that is missing or does not fit the others
 */
export function decoderShape(config: ConfigJson, file: string): DecoderShape {
  const family = familyOf(config, file)
  const integer = (key: string, fallback?: number): number => {
    const value = config[key] ?? fallback
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number
    throw configError(file, `a positive integer for ${key}`, config[key])
  }
  const flag = (key: string): boolean => {
    const value = config[key] ?? false
    if (typeof value === 'boolean') return value
    throw configError(file, `true or false for ${key}`, value)
  }
  const [hiddenSize, heads] = [integer('hidden_size'), integer('num_attention_heads')]
  const keyValueHeads = integer('num_key_value_heads', heads)
  if (heads % keyValueHeads !== 0) {
    throw configError(file, `a divisor of num_attention_heads (${heads}) for num_key_value_heads`, keyValueHeads)
  }
  const headDim = integer('head_dim', hiddenSize / heads)
  if (headDim % 2 !== 0) throw configError(file, 'an even number for head_dim', headDim)
  const attentionBias = flag('attention_bias')
  return {
    family,
    hiddenSize,
    intermediateSize: integer('intermediate_size'),
    layers: integer('num_hidden_layers'),
    heads,
    keyValueHeads,
    headDim,
    vocabularySize: integer('vocab_size'),
    tied: flag('tie_word_embeddings'),
    inputBias: family === 'qwen2' || attentionBias,
    outputBias: family !== 'qwen2' && attentionBias,
    mlpBias: family === 'llama' && flag('mlp_bias'),
    initializerRange: initializerRange(config, file),
  }
}

function familyOf(config: ConfigJson, file: string): Family {
  const family = families.find((name) => name === config.model_type)
  if (family) return family
  const near = typeof config.model_type === 'string' ? nearestName(config.model_type, families) : undefined
  throw configError(file, `one of ${families.join(', ')} for model_type${near ? ` (${near}?)` : ''}`, config.model_type)
}

function initializerRange(config: ConfigJson, file: string): number {
  const value = config.initializer_range ?? 0.02
  if (typeof value === 'number' && value > 0 && value <= 1) return value
  throw configError(file, 'a number above 0 and up to 1 for initializer_range', value)
}

function configError(file: string, expected: string, value: unknown): BranchMergeError {
  const received = value === undefined ? 'nothing' : JSON.stringify(value)
  return new BranchMergeError('ERR_CONFIG_JSON', `Expected ${expected} in ${file} but received ${received}`)
}
