import type { ConfigJson, DecoderShape, Family } from '../../checkpoint/decoderShape.js'
import { BranchMergeError } from '../../errors.js'
import type { GgufMetadata } from './ggufFile.js'

/** llama.cpp's names of the architectures. Its `llama` pairs the rows of q and k 2j and 2j + 1 for rotary embeddings. */
const architectures = { qwen2: 'qwen2', llama: 'llama', qwen3: 'qwen3' } as const satisfies Record<Family, string>

/** Whether the rows of q and k have to change places: Transformers pairs rows j and j + d/2. */
export const interleavesHeads = (family: Family): boolean => family === 'llama'

export interface RopeScaling {
  metadata: GgufMetadata
  /** What llama.cpp divides each frequency by, for Llama 3; a tensor of its own in the file. */
  frequencyFactors: number[] | undefined
}

/**
 * The metadata that says how a decoder is computed.
 *
 * @param file - config.json, as messages name it
 * @throws ERR_MODEL_UNSUPPORTED for what llama.cpp does not compute as Transformers does
 */
export function modelMetadata(config: ConfigJson, shape: DecoderShape, file: string): GgufMetadata {
  const architecture = architectures[shape.family]
  refuseOtherwise(config, shape, file)
  const rope = ropeParameters(config)
  const key = (name: string) => `${architecture}.${name}`
  return new Map([
    ['general.architecture', { type: 'string', value: architecture }],
    [key('vocab_size'), { type: 'uint32', value: shape.vocabularySize }],
    [key('context_length'), { type: 'uint32', value: positive(config, 'max_position_embeddings', file) }],
    [key('embedding_length'), { type: 'uint32', value: shape.hiddenSize }],
    [key('block_count'), { type: 'uint32', value: shape.layers }],
    [key('feed_forward_length'), { type: 'uint32', value: shape.intermediateSize }],
    [key('attention.head_count'), { type: 'uint32', value: shape.heads }],
    [key('attention.head_count_kv'), { type: 'uint32', value: shape.keyValueHeads }],
    [key('attention.key_length'), { type: 'uint32', value: shape.headDim }],
    [key('attention.value_length'), { type: 'uint32', value: shape.headDim }],
    [key('attention.layer_norm_rms_epsilon'), { type: 'float32', value: positive(config, 'rms_norm_eps', file) }],
    [key('rope.dimension_count'), { type: 'uint32', value: shape.headDim }],
    [key('rope.freq_base'), { type: 'float32', value: rope.theta }],
    ...scalingMetadata(config, rope, key, file),
  ])
}

/** Divisors of the frequencies of Llama 3's rotary embedding, half as many as a head has dimensions; else undefined. */
export function llama3Factors(config: ConfigJson, { headDim }: DecoderShape, file: string): number[] | undefined {
  const { type, theta, fields } = ropeParameters(config)
  if (type !== 'llama3') return undefined
  const number = (name: string) => positive(fields, name, file)
  const [factor, original] = [number('factor'), number('original_max_position_embeddings')]
  const [low, high] = [number('low_freq_factor'), number('high_freq_factor')]
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim)
    if (wavelength < original / high) return 1
    if (wavelength > original / low) return factor
    const smooth = (original / wavelength - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}

interface RopeParameters {
  type: string
  theta: number
  fields: Record<string, unknown>
}

/** rope_scaling and rope_theta, or rope_parameters of Transformers 5, which holds both. */
function ropeParameters(config: ConfigJson): RopeParameters {
  const fields = (config.rope_parameters ?? config.rope_scaling ?? {}) as Record<string, unknown>
  const theta = fields.rope_theta ?? config.rope_theta ?? 10000
  return { type: String(fields.rope_type ?? fields.type ?? 'default'), theta: Number(theta), fields }
}

function scalingMetadata(
  config: ConfigJson,
  { type, fields }: RopeParameters,
  key: (name: string) => string,
  file: string,
): [string, { type: 'string'; value: string } | { type: 'uint32' | 'float32'; value: number }][] {
  if (type === 'default' || type === 'llama3') return []
  if (type !== 'linear' && type !== 'yarn') {
    throw unsupported(file, `rope_type ${JSON.stringify(type)}`, 'default, linear, yarn and llama3')
  }
  const factor = positive(fields, 'factor', file)
  const scaling = [
    [key('rope.scaling.type'), { type: 'string', value: type } as const],
    [key('rope.scaling.factor'), { type: 'float32', value: factor } as const],
  ] as ReturnType<typeof scalingMetadata>
  if (type === 'linear') return scaling
  // llama.cpp has these as constants.
  for (const [name, value] of [
    ['beta_fast', 32],
    ['beta_slow', 1],
    ['attention_factor', undefined],
    ['mscale', undefined],
    ['truncate', undefined],
  ] as const) {
    if (fields[name] !== undefined && fields[name] !== null && fields[name] !== value) {
      throw unsupported(file, `${name} of yarn`, value === undefined ? 'its default' : String(value))
    }
  }
  const original = fields.original_max_position_embeddings ?? config.max_position_embeddings
  scaling.push([key('rope.scaling.original_context_length'), { type: 'uint32', value: Number(original) }])
  return scaling
}

function refuseOtherwise(config: ConfigJson, shape: DecoderShape, file: string): void {
  const activation = config.hidden_act ?? 'silu'
  if (activation !== 'silu') throw unsupported(file, `hidden_act ${JSON.stringify(activation)}`, 'silu')
  if (config.use_sliding_window === true) throw unsupported(file, 'use_sliding_window', 'full attention')
  const types = Array.isArray(config.layer_types) ? config.layer_types : []
  const other = types.find((type) => type !== 'full_attention')
  if (other !== undefined) throw unsupported(file, `layer type ${JSON.stringify(other)}`, 'full_attention')
  if (config.quantization_config) throw unsupported(file, 'quantization_config', 'BF16, F16 and F32 weights')
  if (shape.family === 'qwen3' && (shape.inputBias || shape.outputBias)) {
    throw unsupported(file, 'attention_bias of qwen3', 'projections without a bias')
  }
}

function unsupported(file: string, what: string, supported: string): BranchMergeError {
  return new BranchMergeError(
    'ERR_MODEL_UNSUPPORTED',
    `${file}: llama.cpp does not compute a model with ${what} as Transformers does. Supported: ${supported}.`,
  )
}

function positive(fields: Record<string, unknown>, name: string, file: string): number {
  const value = fields[name]
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value
  const received = value === undefined ? 'nothing' : JSON.stringify(value)
  throw new BranchMergeError(
    'ERR_CONFIG_JSON',
    `Expected a positive number for ${name} in ${file} but received ${received}`,
  )
}
