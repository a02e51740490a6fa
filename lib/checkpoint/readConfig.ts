import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { readSmallFile } from '../files/readSmallFile.js'

/** Real ones have a few kilobytes; label maps of classifiers reach one megabyte. */
const maxConfigBytes = 16 * 2 ** 20

export interface ModelConfig {
  /** The file as it is, for copying. */
  text: string
  /** The output head is the embedding matrix and need not be stored; by the model type where config.json does not say. */
  tiesWordEmbeddings: boolean
  /** `auto_map` names Python modules that lie beside the weights. */
  namesCustomCode: boolean
  /** First entry of `architectures`. */
  architecture: string | undefined
  /** `num_hidden_layers`, of the text model where there are several. */
  layers: number | undefined
  /** Method of `quantization_config`, where there is one: 'gptq'. The weights may have been dequantised since. */
  quantisation: string | undefined
}

/**
 * Types of language models whose head is tied unless their configuration says otherwise, as of Transformers 5.18, which
 * leaves such defaults out of config.json. All other types are untied by default, or say it.
 */
const tiedByDefault: ReadonlySet<unknown> = new Set([
  ...['gemma', 'gemma2', 'gemma3', 'gemma3_text', 'gemma3n', 'gemma3n_text', 'gemma4', 'gemma4_text', 'gemma4_unified'],
  ...['gemma4_unified_text', 'recurrent_gemma', 'vaultgemma', 'cohere', 'cohere2', 'cohere2_moe'],
  ...['ernie4_5', 'ernie4_5_moe', 'ernie4_5_vl_moe_text', 'paddleocr_vl_text', 'hunyuan_vl_text'],
  ...[
    'biogpt',
    'bloom',
    'ctrl',
    'falcon',
    'falcon_mamba',
    'gpt2',
    'gpt_bigcode',
    'gpt_neo',
    'mamba',
    'mpt',
    'openai-gpt',
  ],
  ...['opt', 'xglm', 'jetmoe', 'lfm2', 'lfm2_moe', 'minicpm3', 'modernbert-decoder', 'smollm3', 'starcoder2', 'youtu'],
  ...['zamba', 'zamba2', 'zaya'],
])

/**
 * config.json of a model directory, or undefined where there is none.
 *
 * @throws ERR_CONFIG_JSON when it is no JSON object.
 */
export async function readConfig(directory: string): Promise<ModelConfig | undefined> {
  const file = await readJsonObject(join(directory, 'config.json'))
  if (!file) return undefined
  const { text, json } = file
  const own = (key: string) => json[key] ?? object(json.text_config)?.[key]
  const [architecture] = Array.isArray(json.architectures) ? json.architectures : []
  const layers = own('num_hidden_layers')
  const languageModel = object(json.text_config)?.model_type ?? json.model_type
  return {
    text,
    tiesWordEmbeddings: (own('tie_word_embeddings') ?? tiedByDefault.has(languageModel)) === true,
    namesCustomCode: json.auto_map !== undefined,
    architecture: typeof architecture === 'string' ? architecture : undefined,
    layers: typeof layers === 'number' ? layers : undefined,
    quantisation: quantisationMethod(object(own('quantization_config'))),
  }
}

/** bitsandbytes did not name itself at first. */
function quantisationMethod(config: Record<string, unknown> | undefined): string | undefined {
  if (!config) return undefined
  const { quant_method: method, load_in_4bit: in4Bits, load_in_8bit: in8Bits } = config
  if (typeof method === 'string') return method
  return in4Bits === true || in8Bits === true ? 'bitsandbytes' : 'a method that config.json does not name'
}

/** A JSON file that must hold an object; undefined where there is no file. */
export async function readJsonObject(
  path: string,
): Promise<{ text: string; json: Record<string, unknown> } | undefined> {
  const bytes = await readSmallFile(path, maxConfigBytes, 'ERR_CONFIG_JSON')
  if (!bytes) return undefined
  const text = decode(path, bytes)
  const json = object(parse(path, text))
  if (!json) throw new BranchMergeError('ERR_CONFIG_JSON', `Expected a JSON object in ${path}`)
  return { text, json }
}

function object(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

function decode(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new BranchMergeError('ERR_CONFIG_JSON', `Expected UTF-8 text in ${path}`, { cause })
  }
}

function parse(path: string, text: string): unknown {
  // Python writes infinities and NaN bare, and reads them (time_step_limit of Mamba-2): valid configurations.
  const standard = text.replace(/([:[,]\s*)(?:-?Infinity|NaN)(?=\s*[,\]}])/g, '$1null')
  try {
    return JSON.parse(standard)
  } catch (cause) {
    throw new BranchMergeError('ERR_CONFIG_JSON', `Expected JSON in ${path}: ${(cause as Error).message}`, { cause })
  }
}
