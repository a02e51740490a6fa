import { join } from 'node:path'
import type { ConfigJson } from '../../checkpoint/decoderShape.js'
import { parseTokenizerJson, readTokenizerFiles } from '../../checkpoint/tokenizerFiles.js'
import { BranchMergeError } from '../../errors.js'
import { isMapping } from '../../validate.js'
import type { GgufMetadata } from './ggufFile.js'

/** llama.cpp's kinds of tokens. */
const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const

/**
 * Patterns that split text before the merges, by llama.cpp's name for them. It has each of them as a program of its own, so
 * that no other pattern can be had; Python's and JavaScript's spellings of the same one differ in their escapes only.
 */
const preTokenizers: Record<string, string> = {
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+":
    'qwen2',
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+":
    'llama-bpe',
}

/**
 * The metadata of a byte-level BPE tokenizer with its chat template.
 *
 * @param vocabularySize - rows of the embedding matrix; rows beyond the tokenizer's become unused tokens
 * @throws ERR_TOKENIZER for another kind of tokenizer, or one that has more tokens than the matrix has rows
 */
export async function tokenizerMetadata(
  directory: string,
  config: ConfigJson,
  vocabularySize: number,
): Promise<GgufMetadata> {
  const files = await readTokenizerFiles(directory)
  const tokenizer = parseTokenizerJson(files.tokenizer, join(directory, 'tokenizer.json'))
  const settings = parseTokenizerJson(files.config, join(directory, 'tokenizer_config.json'))
  const { tokens, types } = vocabulary(tokenizer, vocabularySize, directory)
  const metadata: GgufMetadata = new Map([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: preTokenizer(tokenizer, directory) }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'int32s', value: types }],
    ['tokenizer.ggml.merges', { type: 'strings', value: merges(tokenizer, directory) }],
  ])
  for (const [key, name] of [
    ['bos', 'bos'],
    ['eos', 'eos'],
    ['padding', 'pad'],
  ] as const) {
    const id = namedToken(settings, config, name, tokens)
    if (id !== undefined) metadata.set(`tokenizer.ggml.${key}_token_id`, { type: 'uint32', value: id })
  }
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'bool', value: addsFirstToken(tokenizer, settings) })
  const template = files.chatTemplate
  if (template !== undefined) metadata.set('tokenizer.chat_template', { type: 'string', value: template })
  return metadata
}

function model(tokenizer: Record<string, unknown>, directory: string): Record<string, unknown> {
  const { model: bpe } = tokenizer
  if (isMapping(bpe) && bpe.type === 'BPE' && isMapping(bpe.vocab)) return bpe
  const kind = isMapping(bpe) ? JSON.stringify(bpe.type) : 'none'
  throw refusal(directory, `a byte-level BPE model, but it is ${kind}`)
}

function vocabulary(
  tokenizer: Record<string, unknown>,
  size: number,
  directory: string,
): { tokens: string[]; types: number[] } {
  const entries = Object.entries(model(tokenizer, directory).vocab as Record<string, number>)
  const added = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens.filter(isMapping) : []
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`)
  const types: number[] = tokens.map(() => tokenTypes.unused)
  const put = (id: number, token: string, type: number): void => {
    if (!(Number.isInteger(id) && id >= 0 && id < size)) {
      throw refusal(
        directory,
        `ids below ${size}, the rows of the embedding matrix, but ${JSON.stringify(token)} has ${id}`,
      )
    }
    tokens[id] = token
    types[id] = type
  }
  for (const [token, id] of entries) put(id, token, tokenTypes.normal)
  for (const { id, content, special } of added) {
    put(Number(id), String(content), special === true ? tokenTypes.control : tokenTypes.userDefined)
  }
  return { tokens, types }
}

/** Pairs, or texts with a space between the two. */
function merges(tokenizer: Record<string, unknown>, directory: string): string[] {
  const list = model(tokenizer, directory).merges
  if (!Array.isArray(list)) throw refusal(directory, 'a list of merges, but there is none')
  return list.map((merge) => (Array.isArray(merge) ? merge.join(' ') : String(merge)))
}

function preTokenizer(tokenizer: Record<string, unknown>, directory: string): string {
  const patterns = stepsOf(tokenizer.pre_tokenizer)
    .filter(({ type }) => type === 'Split')
    .map(({ pattern }) => (isMapping(pattern) ? String(pattern.Regex ?? pattern.String) : ''))
  const name = patterns.length === 1 ? preTokenizers[patterns[0] ?? ''] : undefined
  if (name) return name
  throw refusal(
    directory,
    `the split pattern of Qwen 2 and 3 or of Llama 3, which llama.cpp has, but it has ${patterns.length > 0 ? JSON.stringify(patterns) : 'none'}`,
  )
}

function stepsOf(preTokenizer: unknown): Record<string, unknown>[] {
  if (!isMapping(preTokenizer)) return []
  const { pretokenizers } = preTokenizer
  return Array.isArray(pretokenizers) ? pretokenizers.filter(isMapping) : [preTokenizer]
}

/** By its text in tokenizer_config.json, or else by its id in config.json. */
function namedToken(
  settings: Record<string, unknown>,
  config: ConfigJson,
  name: string,
  tokens: readonly string[],
): number | undefined {
  const token = settings[`${name}_token`]
  const text = isMapping(token) ? token.content : token
  if (typeof text === 'string') {
    const id = tokens.indexOf(text)
    if (id >= 0) return id
  }
  const [id] = [config[`${name}_token_id`]].flat()
  return typeof id === 'number' && id >= 0 && id < tokens.length ? id : undefined
}

/** add_bos_token of tokenizer_config.json, or whether the tokenizer puts a special token before a text. */
function addsFirstToken(tokenizer: Record<string, unknown>, settings: Record<string, unknown>): boolean {
  if (typeof settings.add_bos_token === 'boolean') return settings.add_bos_token
  const { post_processor: processor } = tokenizer
  const steps = isMapping(processor) && Array.isArray(processor.processors) ? processor.processors : [processor]
  return steps.some((step) => {
    if (!isMapping(step) || step.type !== 'TemplateProcessing' || !Array.isArray(step.single)) return false
    const [first] = step.single
    return isMapping(first) && 'SpecialToken' in first
  })
}

function refusal(directory: string, expected: string): BranchMergeError {
  return new BranchMergeError('ERR_TOKENIZER', `Expected a tokenizer.json in ${directory} with ${expected}`)
}
